//! The firmware: where it is, or how it is built.

use super::Failure;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the firmware of all boards: the one that was named, or one that is built now.
pub fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = match named {
        Some(folder) => folder.to_owned(),
        None => build()?,
    };
    for name in ["node", "node7", "client", "resource"] {
        if !folder.join(name).is_file() {
            return Err(format!("there is no firmware {name} in {}", folder.display()).into());
        }
    }
    Ok(folder)
}

fn build() -> Result<PathBuf, Failure> {
    const WHERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware");
    if !Path::new(WHERE).is_dir() {
        return Err(
            "the sources of the firmware are not where they were: name its folder with --firmware".into()
        );
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    let target = Path::new(WHERE).join("../../../target/firmware");
    cargo.args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
    let status = cargo.current_dir(WHERE).status()?;
    if !status.success() {
        return Err("the firmware does not build; it needs `rustup target add thumbv7m-none-eabi`".into());
    }
    Ok(target.join("thumbv7m-none-eabi/release"))
}
