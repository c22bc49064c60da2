//! Claims about walking, naming and setting apart, on folders made for the purpose.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::error::Error;

const LOG: &str = "111122223333_CloudTrail_eu-west-1_20240305T1015Z_Mu0KsOhtH1ar15ZZ.json.gz";

/// Makes files of one byte.
fn folder(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    root
}

fn names(found: &Discovery) -> Vec<String> {
    found.sources.iter().map(Source::name).collect()
}

fn find(paths: &[&Path]) -> Discovery {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let found = discover(&paths, None, &Filters::default()).unwrap();
    for source in found.sources.iter().filter(|source| !source.is_stdin()) {
        assert!(source.path().exists(), "{}", source.path().display());
        assert_eq!(source.path_text(), source.path().to_string_lossy());
    }
    found
}

#[test]
fn a_directory_gives_its_files_in_the_byte_order_of_their_names() {
    let root = folder(&["b/2", "b-1", "b/1", "a/x/y", "a.z", "B", "x.json.gz/inner"]);
    let found = find(&[root.path()]);
    assert_eq!(names(&found), ["B", "a.z", "a/x/y", "b-1", "b/1", "b/2", "x.json.gz/inner"]);
    assert_eq!((found.bytes(), found.counts.rows().map(|row| row.1)), (7, [0; 11]));
}

#[test]
fn what_holds_no_records_is_set_apart_and_counted() {
    let base = "AWSLogs/111122223333";
    let root = folder(&[
        &format!("{base}/CloudTrail/eu-west-1/2024/03/05/{LOG}"),
        &format!(
            "{base}/CloudTrail-NetworkActivity/eu-west-1/2024/03/05/{}",
            LOG.replace("_CloudTrail_", "_CloudTrail-NetworkActivity_")
        ),
        &format!(
            "{base}/CloudTrail-Digest/eu-west-1/2024/03/05/111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20240305T110131Z.json.gz"
        ),
        &format!("{base}/CloudTrail-Insight/eu-west-1/2024/03/05/x.json.gz"),
        &format!("{base}/CloudTrail-Aggregated/eu-west-1/2024/03/05/y.json.gz"),
        &format!("{base}/CloudTrail-Lake/Query/2024/03/05/1/result_1.csv.gz"),
        ".DS_Store",
        "export/aws-logs-write-test",
        ".git/objects/1",
        ".git/objects/2",
    ]);
    let found = find(&[root.path()]);
    assert_eq!(found.sources.len(), 2);
    let expected = Counts { digests: 1, insights: 1, aggregated: 1, lake: 1, hidden: 3, ..Counts::default() };
    assert_eq!(found.counts, expected);
    assert_eq!(found.counts.set_apart(), 7);
    assert_eq!(found.sources[1].folder(), Folder::CloudTrail);

    let digests = Filters { digests: true, ..Filters::default() };
    let found = discover(&[root.path().to_path_buf()], None, &digests).unwrap();
    assert_eq!((found.sources.len(), found.digests), (5, 1), "the digest and what it may list");
    assert_eq!(found.counts, expected, "they are counted all the same");
    let logs = root.path().join(base).join("CloudTrail");
    let insights = root.path().join(base).join("CloudTrail-Insight");
    let found = discover(&[logs, insights], None, &digests).unwrap();
    assert_eq!((found.sources.len(), found.digests), (1, 0), "without a digest nothing lists them");
}

#[test]
fn a_hidden_file_that_is_named_is_read() {
    let root = folder(&[".kept.json"]);
    let found = find(&[&root.path().join(".kept.json")]);
    assert_eq!(found.sources.len(), 1);
}

#[test]
fn filters_prune_by_name_and_count_it() {
    let other = LOG.replace("111122223333", "444455556666");
    let late = LOG.replace("20240305T1015Z", "20240401T0000Z");
    let root = folder(&[LOG, &other, &late, "renamed.json.gz"]);
    let filters = Filters::new(None, Some("2024-03-06"), &["1111*".to_owned()], &[]).unwrap();
    let found = discover(&[root.path().to_path_buf()], None, &filters).unwrap();
    assert_eq!(names(&found), [LOG, "renamed.json.gz"]);
    assert_eq!(found.counts, Counts { pruned_account: 1, pruned_until: 1, ..Counts::default() });
    assert_eq!(found.counts.pruned(), 2);
}

#[test]
fn a_missing_argument_is_an_error_that_names_it() {
    let error = discover(&[PathBuf::from("no/such/export")], None, &Filters::default()).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("no/such/export")), "{error}");
    let error = discover(&[PathBuf::from("no/such/*.gz")], None, &Filters::default()).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("no file matches")), "{error}");
}

#[test]
fn globs_count_only_where_no_such_path_exists() {
    let root = folder(&["a.json", "b.json", "c.txt", "[x].json", ".hidden.json"]);
    let found = find(&[&root.path().join("*.json")]);
    assert_eq!(found.sources.len(), 3);
    let literal = find(&[&root.path().join("[x].json")]);
    assert!(names(&literal)[0].ends_with("/[x].json"));
    assert_eq!(literal.sources.len(), 1);
}

#[test]
fn a_file_reached_by_several_arguments_is_listed_once() {
    let root = folder(&["a/1", "a/2", "b"]);
    let (whole, part, file) = (root.path().to_path_buf(), root.path().join("a"), root.path().join("a/1"));
    let found = find(&[&whole, &part, &file, &whole]);
    assert_eq!(names(&found), ["a/1", "a/2", "b"]);
    assert_eq!(found.counts.repeated, 1);
    let found = find(&[&part, &whole]);
    assert_eq!(names(&found), ["1", "2", "b"]);
}

#[test]
fn equal_names_under_two_arguments_are_told_apart_by_their_paths() {
    let root = folder(&["one/x.json", "two/x.json", "two/y.json"]);
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    let found = find(&[&two, &one]);
    let base = root.path().to_str().unwrap();
    assert_eq!(names(&found), [format!("{base}/one/x.json"), format!("{base}/two/x.json"), "y.json".to_owned()]);
}

#[test]
fn stdin_is_one_source_however_often_it_is_named() {
    let found = find(&[Path::new("-"), Path::new("-")]);
    assert_eq!(names(&found), ["-"]);
    assert!(found.sources[0].is_stdin());
}

#[test]
fn a_list_of_files_may_be_separated_by_lines_or_zeros_and_misses_are_problems() {
    let root = folder(&["1", "2", "list", "list0"]);
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    fs::write(root.path().join("list"), format!("{}\n\n{}\n{}", path("1"), path("nope"), path("2"))).unwrap();
    fs::write(root.path().join("list0"), format!("{}\0{}\0", path("2"), path("1"))).unwrap();
    for (list, problems) in [("list", 1), ("list0", 0)] {
        let found = discover(&[], Some(&root.path().join(list)), &Filters::default()).unwrap();
        assert_eq!(names(&found), [path("1"), path("2")]);
        assert_eq!(found.problems.len(), problems, "{:?}", found.problems);
    }
    assert!(discover(&[], Some(&root.path().join("no-list")), &Filters::default()).is_err());
}

#[test]
fn names_of_arguments_are_written_with_plain_slashes() {
    for (path, name) in [("./a/./b/x", "a/b/x"), ("x", "x"), ("../x", "../x"), ("/a//x", "/a/x")] {
        assert_eq!(Source::file(Path::new(path), 0).name(), name);
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn loops_and_ladders_of_links_end() {
        let root = folder(&["0/file"]);
        symlink(root.path(), root.path().join("0/up")).unwrap();
        symlink(".", root.path().join("0/self")).unwrap();
        symlink("gone", root.path().join("0/broken")).unwrap();
        // Each step links twice to the next: 2^24 ways down to the last.
        for step in 0..24 {
            fs::create_dir_all(root.path().join(format!("{}", step + 1))).unwrap();
            for name in ["l", "r"] {
                symlink(root.path().join(format!("{}", step + 1)), root.path().join(format!("{step}/{name}"))).unwrap();
            }
        }
        let found = find(&[root.path()]);
        assert_eq!(names(&found), ["0/file"]);
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].0.ends_with("0/broken"));
    }

    #[test]
    fn links_are_followed_and_real_names_win() {
        let root = folder(&["tree/z/real.json", "outside/o.json"]);
        let tree = root.path().join("tree");
        symlink("z/real.json", tree.join("a-link.json")).unwrap();
        symlink("z", tree.join("b-link")).unwrap();
        symlink("../outside", tree.join("c-link")).unwrap();
        fs::hard_link(tree.join("z/real.json"), tree.join("z/again.json")).unwrap();
        let found = find(&[&tree]);
        assert_eq!(names(&found), ["c-link/o.json", "z/again.json"]);
        assert_eq!(found.counts.repeated, 2);
        // As an argument, the link itself is what is named.
        assert_eq!(names(&find(&[&tree.join("c-link")])), ["o.json"]);
    }

    #[test]
    fn names_that_are_not_utf8_stay_apart() {
        let root = folder(&[]);
        for bytes in [&b"\xff.json"[..], b"\xfe.json", b"plain"] {
            fs::write(root.path().join(OsStr::from_bytes(bytes)), "x").unwrap();
        }
        assert_eq!(names(&find(&[root.path()])), ["\\xfe.json", "\\xff.json", "plain"]);
    }

    #[test]
    fn sockets_in_a_directory_are_set_apart() {
        let root = folder(&["a"]);
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("s")).unwrap();
        let found = find(&[root.path()]);
        assert_eq!((names(&found), found.counts.special), (vec!["a".to_owned()], 1));
    }

    #[test]
    fn an_unreadable_directory_is_a_problem_and_the_rest_is_listed() {
        let root = folder(&["a/1", "b/2"]);
        fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read_dir(root.path().join("a")).is_ok() {
            return; // Root reads everything.
        }
        let found = find(&[root.path()]);
        fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(names(&found), ["b/2"]);
        assert_eq!(found.problems.len(), 1);
    }
}

proptest::proptest! {
    #[test]
    fn sources_sort_as_their_written_names_do(paths in proptest::collection::vec("[ab/.-]{1,8}", 1..20)) {
        let mut sources: Vec<Source> = paths.iter().map(|path| Source::file(Path::new(path), 0)).collect();
        sort(&mut sources);
        let sorted: Vec<String> = sources.iter().map(Source::name).collect();
        let mut expected = sorted.clone();
        expected.sort();
        proptest::prop_assert_eq!(sorted, expected);
    }
}

/// What is found with and without looking at each file.
fn find_both(paths: &[&Path]) -> Discovery {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let looked = discover(&paths, None, &Filters::default()).unwrap();
    let skipped = discover(&paths, None, &Filters { skips_sizes: true, ..Filters::default() }).unwrap();
    assert_eq!((names(&skipped), skipped.counts), (names(&looked), looked.counts));
    skipped
}

#[test]
fn without_sizes_the_same_files_are_found() {
    let root = folder(&["a/2", "a/1", "b/1", "b/2", "b/3", "b/deep/1", ".DS_Store"]);
    let found = find_both(&[root.path()]);
    assert_eq!(names(&found), ["a/1", "a/2", "b/1", "b/2", "b/3", "b/deep/1"]);
    // Where folders have the numbers of their files, the first file of each was looked at, and another one of `b` when the
    // walk came back to it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirEntryExt, MetadataExt};
        let mut files = fs::read_dir(root.path().join("b")).unwrap().map(Result::unwrap);
        let is_numbered = files.all(|file| file.ino() == file.metadata().unwrap().ino());
        assert!(!is_numbered || found.bytes() <= 4, "{}", found.bytes());
    }
}

#[cfg(unix)]
#[test]
fn without_sizes_a_file_with_several_names_is_found_once() {
    let root = folder(&["a/2", "a/3", "b/1", "b/2", "c/1"]);
    let at = |name: &str| root.path().join(name);
    for (from, to) in [("a/3", "b/0"), ("a/3", "a/1"), ("a/2", "b/9"), ("c/1", "c/2"), ("b/2", "c/0")] {
        fs::hard_link(at(from), at(to)).unwrap();
    }
    std::os::unix::fs::symlink(at("b/1"), at("a/0")).unwrap();
    std::os::unix::fs::symlink(at("b"), at("a/folder")).unwrap();
    let found = find_both(&[root.path(), &at("a")]);
    assert_eq!(names(&found), ["a/1", "a/2", "b/1", "b/2", "c/1"]);
    // What was named first keeps its name, unless it has others.
    for name in ["b/1", "b/2", "c/1", "a/3"] {
        find_both(&[&at(name), root.path()]);
    }
}
