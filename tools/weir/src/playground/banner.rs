//! What a stranger sees: where the node is, and lines to copy.

use std::io::{self, Write};
use std::path::Path;

use super::sample;
use crate::error::ToolError;

/// Endpoints and client commands.
pub(super) fn print(endpoints: &[String], dir: &Path, origins: &[String]) -> Result<(), ToolError> {
    write(&text(endpoints, dir, origins))
}

/// What follows the tour.
pub(super) fn print_end() -> Result<(), ToolError> {
    write("\nCtrl-C stops it; the data stays.\n")
}

fn write(text: &str) -> Result<(), ToolError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ToolError::Output)
}

fn text(endpoints: &[String], dir: &Path, origins: &[String]) -> String {
    let url = endpoints.first().map_or("http://127.0.0.1:8080", String::as_str);
    let (bucket, object) = (sample::BUCKET, sample::name(0));
    let behind = match origins {
        [] => format!("an S3 server of its own; sample dataset in s3://{bucket}"),
        urls => urls.join(", "),
    };
    let read = match origins {
        [] => format!("weir ls s3://{bucket}\n  weir get s3://{bucket}/{object} /tmp/"),
        _ => "weir ls s3://YOUR-BUCKET\n  weir get s3://YOUR-BUCKET/OBJECT /tmp/".to_owned(),
    };
    // A second port on the command line, where it is not the default.
    let named =
        if url == crate::client::ENDPOINT_DEFAULT { "" } else { &format!("export WEIR_ENDPOINT={url}\n  ") };
    let (dir, local) = (dir.display(), "ais://mine");
    format!(
        "\nWeir is ready.\n
  AIS API   {url}
  S3 API    {url}/s3   (and {url}/)
  origin    {behind}
  data      {dir}

weir
  {named}{read}
  weir create {local} && weir put README.md {local}/ && weir ls {local}

aws    (any key: this node asks for none)
  export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1 AWS_ENDPOINT_URL={url}/s3
  aws s3 ls
  aws s3 cp README.md s3://mine/

boto3
  s3 = boto3.client('s3', endpoint_url='{url}/s3', region_name='us-east-1',
                    aws_access_key_id='x', aws_secret_access_key='x')
  s3.list_objects_v2(Bucket='{first}')

aistore
  from aistore.sdk import Client
  Client('{url}').bucket('{first}'{provider}).list_all_objects()

rclone
  rclone ls :s3:{first} --s3-provider Other --s3-endpoint {url}/s3 --s3-access-key-id x --s3-secret-access-key x
",
        first = if origins.is_empty() { bucket } else { "YOUR-BUCKET" },
        provider = ", provider='aws'",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_endpoint() {
        let url = "http://127.0.0.1:9999".to_owned();
        let check = |origins: &[String], has: &[&str], lacks: &str| {
            let text = text(std::slice::from_ref(&url), Path::new("/d"), origins);
            has.iter().for_each(|h| assert!(text.contains(h), "{h}: {text}"));
            assert!(!text.contains(lacks), "{lacks}: {text}");
        };
        let own = [
            "AWS_ENDPOINT_URL=http://127.0.0.1:9999/s3",
            "s3://sample",
            "export WEIR_ENDPOINT=http://127.0.0.1:9999",
        ];
        check(&[], &own, "YOUR-BUCKET");
        check(&["http://h:1".into()], &["http://h:1", "YOUR-BUCKET"], "sample dataset");
    }
}
