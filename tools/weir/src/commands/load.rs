use std::ffi::OsString;

use clap::{Args, Parser};
use weir_load::cli::LoadCli;
use weir_load::{LoadError, Verdict};

use crate::cli::Common;
use crate::error::ToolError;

/// The load generator reads its flags itself: some have the names of flags that all other commands share, and more to say.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct LoadArgs {
    /// What to do and how; see `weir load --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "MODE AND FLAGS")]
    args: Vec<OsString>,
}

pub(crate) fn run(common: &Common, args: LoadArgs) -> Result<(), ToolError> {
    if common.endpoint.is_some() || common.token.is_some() || common.json || common.quiet {
        return Err(ToolError::Usage(
            "flags of `weir load` stand after its mode, as in `weir load get --json -`".into(),
        ));
    }
    let cli = LoadCli::parse_from(std::iter::once(OsString::from("weir load")).chain(args.args));
    match weir_load::execute(cli) {
        Ok(Verdict::Good) => Ok(()),
        Ok(Verdict::Nothing) => Err(ToolError::Usage("not one request succeeded".into())),
        Ok(Verdict::WrongContent) => {
            Err(ToolError::Usage("objects came that are not what was written".into()))
        }
        Err(LoadError::Unreachable { endpoint, error }) => {
            Err(ToolError::Unreachable { endpoint, got: error.to_string() })
        }
        Err(error) => Err(ToolError::Usage(error.to_string())),
    }
}
