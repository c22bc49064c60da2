//! Event ids that stand for more than one record.
//!
//! In: the id of every row of the events table, in any order. Out: hashes of ids that occurred more than once. Deliveries of
//! one record were removed before, so what is left over differs in time or content: CloudTrail's own `UPDATED_DATA`
//! addenda, or tampering. Hashes are kept in memory up to a bound and in partition files beyond it, so that 100 million ids
//! need no gigabytes.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::PathBuf;

/// Partitions: each is sorted on its own, so the largest part in memory is a 64th.
const PARTITIONS: usize = 64;
/// Hashes kept in memory, over all partitions: 4 MiB, and room to grow.
const IN_MEMORY: usize = 512 << 10;

/// Collects ids.
#[derive(Debug)]
pub struct IdIndex {
    folder: PathBuf,
    partitions: Vec<Vec<u64>>,
    waiting: usize,
    spilled: bool,
}

/// A 64-bit hash of an id. Equal hashes of different ids are told apart when the rows are listed.
pub fn hash_id(id: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV's high bits are weak, and the partition is taken from them.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl IdIndex {
    /// Partition files, if needed, go into `folder`.
    pub fn new(folder: PathBuf) -> IdIndex {
        IdIndex { folder, partitions: vec![Vec::new(); PARTITIONS], waiting: 0, spilled: false }
    }

    fn file(&self, partition: usize) -> PathBuf {
        self.folder.join(format!("ids-{partition}"))
    }

    /// Adds one id.
    ///
    /// # Errors
    /// When a partition file cannot be written.
    pub fn push(&mut self, id: &[u8]) -> Result<()> {
        let hash = hash_id(id);
        if let Some(partition) = self.partitions.get_mut((hash >> 58) as usize) {
            partition.push(hash);
        }
        self.waiting += 1;
        if self.waiting >= IN_MEMORY { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| Error::file(&self.folder, "create the spill folder", error))?;
        for number in 0..PARTITIONS {
            let path = self.file(number);
            let Some(partition) = self.partitions.get_mut(number) else { continue };
            let bytes: Vec<u8> = partition.drain(..).flat_map(u64::to_le_bytes).collect();
            // What an interrupted job left in the folder are the ids that come now.
            let mut how = std::fs::OpenOptions::new();
            match self.spilled {
                true => how.append(true),
                false => how.create(true).write(true).truncate(true),
            };
            how.open(&path)
                .and_then(|mut file| file.write_all(&bytes))
                .map_err(|error| Error::file(&path, "write event ids", error))?;
        }
        self.waiting = 0;
        self.spilled = true;
        Ok(())
    }

    /// Hashes that were added more than once, sorted.
    ///
    /// # Errors
    /// When a partition file cannot be read.
    pub fn repeated(mut self) -> Result<Vec<u64>> {
        let mut repeated = Vec::new();
        for number in 0..PARTITIONS {
            let path = self.file(number);
            let mut hashes = self.partitions.get_mut(number).map(std::mem::take).unwrap_or_default();
            if self.spilled {
                let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, "read event ids", error))?;
                hashes.extend(
                    bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default())),
                );
            }
            hashes.sort_unstable();
            repeated
                .extend(hashes.windows(2).filter(|pair| pair.first() == pair.last()).filter_map(|pair| pair.first()));
        }
        repeated.sort_unstable();
        repeated.dedup();
        Ok(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repeated_ids_are_found_in_memory_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        for spill in [false, true] {
            let mut index = IdIndex::new(folder.path().join(format!("{spill}")));
            for i in 0..5000 {
                index.push(format!("id-{i}").as_bytes()).unwrap();
            }
            if spill {
                index.write_out().unwrap();
            }
            index.push(b"id-17").unwrap();
            index.push(b"id-17").unwrap();
            index.push(b"id-4999").unwrap();
            let mut expected = vec![hash_id(b"id-17"), hash_id(b"id-4999")];
            expected.sort_unstable();
            assert_eq!(index.repeated().unwrap(), expected);
        }
    }

    #[test]
    fn what_an_interrupted_job_left_is_not_counted_again() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut index = IdIndex::new(folder.path().to_path_buf());
            for part in 0..3 {
                for i in 0..100 {
                    index.push(format!("id-{part}-{i}").as_bytes()).unwrap();
                }
                index.write_out().unwrap();
            }
            // The first one is dropped without an end, with its files in the folder.
            index.push(b"id-2-17").unwrap();
            index.write_out().unwrap();
        }
        let mut index = IdIndex::new(folder.path().to_path_buf());
        index.push(b"id-0-1").unwrap();
        index.write_out().unwrap();
        index.push(b"id-0-1").unwrap();
        assert_eq!(index.repeated().unwrap(), [hash_id(b"id-0-1")]);
    }
}
