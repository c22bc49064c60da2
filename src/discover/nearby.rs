//! Files of one folder, looked at and opened without walking the folder's path for each.
//!
//! In: a folder and a file name. Out: an open file, or what tells one real file from another. Names of archives are long and
//! lie deep (`AWSLogs/o-…/111122223333/CloudTrail/us-east-1/2024/03/05/…`), and for a hundred thousand small files the kernel
//! spends more on the path than on the rest of the call. So the last folder stays open, and files are named in it. Where
//! that is not possible, whole paths are used, with the same outcome. Where sizes are not needed, a folder's list tells its
//! files apart by itself, if the number it has for its first file is that file's.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Parent, Source};

/// What tells one real file from another.
#[cfg(unix)]
pub(super) type Identity = (u64, u64);
#[cfg(not(unix))]
pub(super) type Identity = std::path::PathBuf;

/// What a walk wants to know about a file.
pub(super) struct Look {
    /// Which real file it is.
    pub(super) identity: Identity,
    /// Bytes; 0 for what is no regular file.
    pub(super) size: u64,
    /// It has other names, as far as that is known.
    pub(super) is_hard_link: bool,
}

impl Look {
    /// The same from the metadata of `path`.
    #[cfg(unix)]
    pub(super) fn new(metadata: &Metadata, _path: &Path) -> Look {
        use std::os::unix::fs::MetadataExt;
        Look {
            identity: (metadata.dev(), metadata.ino()),
            size: if metadata.is_file() { metadata.len() } else { 0 },
            is_hard_link: metadata.nlink() > 1,
        }
    }

    /// The same from the metadata of `path`.
    #[cfg(not(unix))]
    pub(super) fn new(metadata: &Metadata, path: &Path) -> Look {
        let identity = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        Look { identity, size, is_hard_link: false }
    }

    /// Looks at the file that a path leads to.
    pub(super) fn at(path: &Path) -> io::Result<Look> {
        std::fs::metadata(path).map(|metadata| Look::new(&metadata, path))
    }
}

/// The folder of the last file, kept open.
#[derive(Debug, Default)]
pub struct Nearby {
    #[cfg(target_os = "linux")]
    last: Option<(Arc<Parent>, Option<std::os::fd::OwnedFd>)>,
    /// The folder whose first file was looked at, and the device of its files if its list has their numbers.
    #[cfg(unix)]
    listed: Option<(Arc<Parent>, Option<u64>)>,
}

impl Nearby {
    /// What tells a file of a folder from others, without its size. The first file of each folder is looked at: only where
    /// the list has the file's own number (not so on some network and layered file systems) are the others taken from it.
    #[cfg(unix)]
    pub(super) fn recognize(&mut self, parent: &Arc<Parent>, entry: &walkdir::DirEntry) -> io::Result<Look> {
        use walkdir::DirEntryExt;
        let known = self.listed.as_ref().filter(|(last, _)| Arc::ptr_eq(last, parent)).map(|(_, device)| *device);
        if let Some(Some(device)) = known {
            return Ok(Look { identity: (device, entry.ino()), size: 0, is_hard_link: false });
        }
        let look = self.look(parent, entry.file_name())?;
        if known.is_none() {
            let (device, number) = look.identity;
            self.listed = Some((Arc::clone(parent), (number == entry.ino()).then_some(device)));
        }
        Ok(look)
    }

    /// What tells a file of a folder from others.
    #[cfg(not(unix))]
    pub(super) fn recognize(&mut self, parent: &Arc<Parent>, entry: &walkdir::DirEntry) -> io::Result<Look> {
        self.look(parent, entry.file_name())
    }
}

#[cfg(target_os = "linux")]
impl Nearby {
    /// The folder's handle; `None` when it cannot be opened.
    fn enter(&mut self, parent: &Arc<Parent>) -> Option<&std::os::fd::OwnedFd> {
        use rustix::fs::{Mode, OFlags, open};
        if self.last.as_ref().is_none_or(|(last, _)| !Arc::ptr_eq(last, parent)) {
            // Such a handle can only be used to name files, and needs no permission to list them.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = (!parent.path.as_os_str().is_empty()).then(|| open(&parent.path, flags, Mode::empty()).ok());
            self.last = Some((Arc::clone(parent), handle.flatten()));
        }
        self.last.as_ref().and_then(|(_, handle)| handle.as_ref())
    }

    /// Opens a source for reading.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&mut self, source: &Source) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        if let Some(folder) = self.enter(&source.parent)
            && let Ok(file) = openat(folder, &*source.file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        {
            return Ok(File::from(file));
        }
        // The folder may have been moved since, and else this gives the error.
        File::open(source.path())
    }

    /// Looks at a file of a folder, not following links.
    pub(super) fn look(&mut self, parent: &Arc<Parent>, name: &OsStr) -> io::Result<Look> {
        use rustix::fs::{AtFlags, FileType, statat};
        if let Some(folder) = self.enter(parent)
            && let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            return Ok(Look {
                identity: (stat.st_dev, stat.st_ino),
                size: if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
                is_hard_link: stat.st_nlink > 1,
            });
        }
        let path = parent.path.join(name);
        std::fs::symlink_metadata(&path).map(|metadata| Look::new(&metadata, &path))
    }
}

#[cfg(not(target_os = "linux"))]
impl Nearby {
    /// Opens a source for reading.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&mut self, source: &Source) -> io::Result<File> {
        File::open(source.path())
    }

    /// Looks at a file of a folder, not following links.
    pub(super) fn look(&mut self, parent: &Arc<Parent>, name: &OsStr) -> io::Result<Look> {
        let path = parent.path.join(name);
        std::fs::symlink_metadata(&path).map(|metadata| Look::new(&metadata, &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_are_found_by_their_names_and_by_their_paths_alike() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("log"), format!("in {name}")).unwrap();
        }
        std::fs::hard_link(folder.path().join("a/log"), folder.path().join("a/twin")).unwrap();
        let mut nearby = Nearby::default();
        for path in ["a/log", "a/twin", "b/log", "a/log", "b/../a/log"] {
            let path = folder.path().join(path);
            let source = Source::file(&path, 0);
            let mut text = String::new();
            nearby.open(&source).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, std::fs::read_to_string(&path).unwrap());
            let look = nearby.look(&source.parent, &source.file).unwrap();
            let whole = Look::new(&std::fs::metadata(&path).unwrap(), &path);
            assert_eq!((look.identity, look.size), (whole.identity, whole.size));
            assert_eq!(look.is_hard_link, whole.is_hard_link);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_list_that_has_other_numbers_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let parent = Source::file(&folder.path().join("a"), 0).parent;
        let entries = || walkdir::WalkDir::new(folder.path()).min_depth(1).into_iter().map(|entry| entry.unwrap());
        let looks = |mut nearby: Nearby| -> Vec<Look> {
            entries().map(|entry| nearby.recognize(&parent, &entry).unwrap()).collect()
        };
        let real: Vec<Look> = entries().map(|entry| Look::at(entry.path()).unwrap()).collect();
        let doubted = looks(Nearby { listed: Some((Arc::clone(&parent), None)), ..Nearby::default() });
        assert!(doubted.iter().zip(&real).all(|(look, real)| look.identity == real.identity && look.size == 1));
        // Believed: what the list says, on the device of the first file.
        let believed = looks(Nearby { listed: Some((Arc::clone(&parent), Some(7))), ..Nearby::default() });
        assert!(believed.iter().all(|look| look.identity.0 == 7 && look.size == 0));
        // As it is: the first file decides, and all are told apart.
        let found = looks(Nearby::default());
        assert_eq!(found[0].size, 1);
        assert!(found.iter().zip(&real).all(|(look, real)| look.identity == real.identity));
    }

    #[test]
    fn what_is_not_there_is_an_error_and_a_folder_that_was_moved_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("log"), "old").unwrap();
        let source = Source::file(&old.join("log"), 0);
        let absent = Source { file: Box::from(OsStr::new("absent")), ..source.clone() };
        let mut nearby = Nearby::default();
        assert_eq!(nearby.open(&absent).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(nearby.look(&absent.parent, &absent.file).is_err());
        nearby.open(&source).unwrap();
        // Another folder takes the place: whoever names the path means that one, but what is open stays the evidence.
        std::fs::rename(&old, &new).unwrap();
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("absent"), "here").unwrap();
        assert!(nearby.open(&source).is_ok(), "the folder that was walked");
        assert!(nearby.open(&absent).is_ok(), "by its path");
    }
}
