//! What `verify` and `analyze` check digests with: public keys, and signatures from metadata.
//!
//! In: `--public-keys`, `--signatures`, `--bucket`. Out: keys and signatures, or an error that names the file.

use super::args::ValidationArgs;
use anyhow::{Context, Result, anyhow, bail};
use keytrail::integrity::keys::MAX_LIST;
use keytrail::integrity::{PublicKeys, Signatures};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Keys and signatures.
#[derive(Default)]
pub(crate) struct Loaded {
    /// The keys.
    pub(crate) keys: PublicKeys,
    /// The signatures.
    pub(crate) signatures: Signatures,
}

/// Reads a small file.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(path).with_context(|| format!("{}: open", path.display()))?;
    file.take(MAX_LIST + 1).read_to_end(&mut text).with_context(|| format!("{}: read", path.display()))?;
    if text.len() as u64 > MAX_LIST {
        bail!("{}: more than {MAX_LIST} bytes, expected a list of keys or signatures", path.display());
    }
    Ok(text)
}

/// The files behind an argument, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let fail = || format!("{}: list the folder of signatures", path.display());
    let entries = std::fs::read_dir(path).with_context(fail)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().with_context(fail)?;
    files.retain(|path| path.is_file());
    files.sort();
    if files.is_empty() {
        bail!("{}: has no files, expected outputs of `aws s3api head-object`", path.display());
    }
    Ok(files)
}

/// Reads keys and signatures.
///
/// # Errors
/// When a file cannot be read or is not what it should be.
pub(crate) fn load(args: &ValidationArgs) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for path in &args.public_keys {
        let text = read(path).context("--public-keys")?;
        loaded.keys.add(&text).map_err(|fault| anyhow!("--public-keys: {}: {fault}", path.display()))?;
    }
    for argument in &args.signatures {
        for path in files(argument).context("--signatures")? {
            let text = read(&path).context("--signatures")?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let added = loaded.signatures.add(&text, &name);
            added.map_err(|fault| anyhow!("--signatures: {}: {fault}", path.display()))?;
        }
    }
    Ok(loaded)
}
