use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::ToolError;

/// `weir completion bash > ~/.local/share/bash-completion/completions/weir`
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: CompletionArgs) -> Result<(), ToolError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "weir", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(ToolError::Output)
}
