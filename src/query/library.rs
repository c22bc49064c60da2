//! The query library: the built-in one, inside the binary, and folders of users.
//!
//! In: the folder `queries/` of the source, or any folder with the same layout. Out: [`LibraryQuery`]s, sorted by kind and
//! id, and the views in the order in which they can be built. A query's id is its file name, which is why two files of
//! one name are an error; a user's file of the same id replaces the built-in one.

use super::header::{self, Header, QueryKind};
use crate::error::{Error, Result};
use include_dir::{Dir, include_dir};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// Tables that every query may name without listing them under `reads`.
pub const IMPLIED_TABLES: [&str; 3] = ["params", "home_accounts", "evidence"];

/// One query file.
#[derive(Clone, Debug)]
pub struct LibraryQuery {
    /// The file name without `.sql`; for findings this is the rule.
    pub id: String,
    /// What it is for.
    pub kind: QueryKind,
    /// The folder below the kind's, such as `destruction`; empty when there is none.
    pub group: String,
    /// Path inside the library, with `/`, such as `detect/destruction/kms-key-deletion.sql`.
    pub path: String,
    /// The file on disk, when it is not built in.
    pub file: Option<PathBuf>,
    /// The front matter.
    pub header: Header,
    /// The whole text of the file.
    pub sql: String,
    /// The text of the `.test` file beside it.
    pub test: Option<String>,
}

/// Query files by id.
#[derive(Clone, Debug, Default)]
pub struct Library {
    queries: BTreeMap<String, LibraryQuery>,
}

impl Library {
    /// The library inside the binary.
    ///
    /// # Errors
    /// Every fault of its headers. The tests keep it free of them.
    pub fn built_in() -> std::result::Result<Library, Vec<Error>> {
        let mut files = Vec::new();
        embedded(&BUILT_IN, &mut files);
        Library::from_texts(files, None)
    }

    /// The library in `folder`, laid out like the built-in one.
    ///
    /// # Errors
    /// Unreadable files, and every fault of the headers.
    pub fn from_folder(folder: &Path) -> std::result::Result<Library, Vec<Error>> {
        let mut files = Vec::new();
        let mut faults = Vec::new();
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
            match entry {
                Ok(entry) if is_query_file(entry.path()) => match std::fs::read_to_string(entry.path()) {
                    Ok(text) => {
                        let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                        let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
                        files.push((parts.join("/"), text));
                    }
                    Err(error) => faults.push(Error::file(entry.path(), "read the query", error)),
                },
                Ok(_) => {}
                Err(error) => faults.push(Error::file(folder, "read the query library", error.into())),
            }
        }
        match Library::from_texts(files, Some(folder)) {
            Ok(library) if faults.is_empty() => Ok(library),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    /// A library from `(path inside the library, text)` pairs.
    ///
    /// # Errors
    /// Every fault of layout and headers.
    pub fn from_texts(files: Vec<(String, String)>, folder: Option<&Path>) -> std::result::Result<Library, Vec<Error>> {
        let (tests, sources): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| path.ends_with(".test"));
        let mut tests: BTreeMap<String, String> = tests.into_iter().collect();
        let mut queries: BTreeMap<String, LibraryQuery> = BTreeMap::new();
        let mut faults = Vec::new();
        let fault = |path: &str, message: String| Error::Query { query: path.to_owned(), line: 0, message };
        for (path, sql) in sources {
            let test = tests.remove(&path.replace(".sql", ".test"));
            match place(&path) {
                Err(message) => faults.push(fault(&path, message)),
                Ok((kind, group, id)) => match header::parse(&path, kind, &sql) {
                    Err(more) => faults.extend(more),
                    Ok(header) => {
                        let file = folder.map(|folder| folder.join(&path));
                        let query = LibraryQuery { id: id.clone(), kind, group, path, file, header, sql, test };
                        if let Some(other) = queries.insert(id, query) {
                            faults.push(fault(&other.path, "another query has the same file name".to_owned()));
                        }
                    }
                },
            }
        }
        for path in tests.into_keys() {
            faults.push(fault(&path, "there is no query file beside this test".to_owned()));
        }
        if faults.is_empty() { Ok(Library { queries }) } else { Err(faults) }
    }

    /// Adds the queries of `other`; those of the same id are replaced.
    pub fn extend(&mut self, other: Library) {
        self.queries.extend(other.queries);
    }

    /// The query with this id.
    pub fn get(&self, id: &str) -> Option<&LibraryQuery> {
        self.queries.get(id)
    }

    /// All queries, by kind, group and id.
    pub fn queries(&self) -> Vec<&LibraryQuery> {
        let mut queries: Vec<_> = self.queries.values().collect();
        queries.sort_by(|a, b| (a.kind, &a.group, &a.id).cmp(&(b.kind, &b.group, &b.id)));
        queries
    }

    /// The queries of one kind, by group and id.
    pub fn of_kind(&self, kind: QueryKind) -> impl Iterator<Item = &LibraryQuery> {
        self.queries().into_iter().filter(move |query| query.kind == kind)
    }

    /// The views in an order in which each stands after those it reads; otherwise by name.
    ///
    /// # Errors
    /// When views read each other in a circle.
    pub fn views_in_order(&self) -> Result<Vec<&LibraryQuery>> {
        self.in_order(self.of_kind(QueryKind::View).map(|view| view.id.as_str()).collect())
    }

    /// The views that the named tables need, directly or through other views, in the order in which they can be built.
    ///
    /// # Errors
    /// When views read each other in a circle.
    pub fn views_for<'l>(&'l self, tables: impl IntoIterator<Item = &'l str>) -> Result<Vec<&'l LibraryQuery>> {
        let mut needed = BTreeSet::new();
        let mut open: Vec<&str> = tables.into_iter().collect();
        while let Some(table) = open.pop() {
            if let Some(view) = self.view(table)
                && needed.insert(view.id.as_str())
            {
                open.extend(view.header.reads.iter().map(String::as_str));
            }
        }
        self.in_order(needed)
    }

    fn view(&self, name: &str) -> Option<&LibraryQuery> {
        self.get(name).filter(|query| query.kind == QueryKind::View)
    }

    fn in_order<'l>(&'l self, mut open: BTreeSet<&'l str>) -> Result<Vec<&'l LibraryQuery>> {
        let mut order = Vec::new();
        while !open.is_empty() {
            let ready = |view: &LibraryQuery| view.header.reads.iter().all(|table| !open.contains(table.as_str()));
            let next = open.iter().find_map(|name| self.view(name).filter(|view| ready(view)));
            let Some(view) = next else {
                let names: Vec<_> = open.into_iter().collect();
                return Err(Error::Usage(format!("the views {} read each other in a circle", names.join(", "))));
            };
            open.remove(view.id.as_str());
            order.push(view);
        }
        Ok(order)
    }
}

fn is_query_file(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "sql" || extension == "test")
}

fn embedded(folder: &Dir<'_>, files: &mut Vec<(String, String)>) {
    for file in folder.files() {
        let path = file.path().to_string_lossy().replace('\\', "/");
        if let Some(text) = file.contents_utf8()
            && (path.ends_with(".sql") || path.ends_with(".test"))
        {
            files.push((path, text.to_owned()));
        }
    }
    for inner in folder.dirs() {
        embedded(inner, files);
    }
}

/// Kind, group and id of a path inside a library.
fn place(path: &str) -> std::result::Result<(QueryKind, String, String), String> {
    let parts: Vec<&str> = path.split('/').collect();
    let (Some(kind), Some(name)) = (parts.first().and_then(|folder| QueryKind::of_folder(folder)), parts.last()) else {
        let folders: Vec<_> = QueryKind::ALL.iter().map(|kind| kind.folder()).collect();
        return Err(format!("the folder decides what a query is for: put it into one of {}", folders.join(", ")));
    };
    let group = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default().join("/");
    let id = name.trim_end_matches(".sql");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(is_plain) {
        return Err("a query's file name consists of lower-case letters, digits, `-` and `_`".to_owned());
    }
    if kind == QueryKind::View && (id.contains('-') || IMPLIED_TABLES.contains(&id)) {
        return Err(
            "a view's file name is its table's name: letters, digits and `_`, and none that is taken".to_owned()
        );
    }
    Ok((kind, group, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(files: &[(&str, &str)]) -> std::result::Result<Library, Vec<Error>> {
        let texts = files.iter().map(|(path, reads)| {
            let header = "-- title: t\n-- severity: low\n-- attack: T1485\n-- description: d\n\
                          -- false-positives: f\n-- blind-spots: b\n";
            ((*path).to_owned(), format!("{header}-- reads: {reads}\nSELECT 1"))
        });
        Library::from_texts(texts.collect(), None)
    }

    #[test]
    fn views_come_after_the_views_they_read() {
        let library = library(&[
            ("views/a.sql", "events, c"),
            ("views/b.sql", "events"),
            ("views/c.sql", "b"),
            ("detect/x/rule.sql", "a"),
        ])
        .unwrap();
        let ids = |views: Vec<&LibraryQuery>| views.iter().map(|view| view.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(library.views_in_order().unwrap()), ["b", "c", "a"]);
        assert_eq!(ids(library.views_for(["c", "events"]).unwrap()), ["b", "c"]);
        assert_eq!(library.get("rule").unwrap().group, "x");
    }

    #[test]
    fn views_in_a_circle_are_an_error() {
        let library = library(&[("views/a.sql", "b"), ("views/b.sql", "a"), ("views/c.sql", "events")]).unwrap();
        let error = library.views_in_order().unwrap_err().to_string();
        assert_eq!(error, "the views a, b read each other in a circle");
    }

    #[test]
    fn every_misplaced_file_is_reported() {
        let faults = library(&[
            ("loose.sql", "events"),
            ("detect/a/Rule.sql", "events"),
            ("detect/a/one.sql", "events"),
            ("review/one.sql", "events"),
            ("review/lost.test", "events"),
            ("views/params.sql", "events"),
        ])
        .unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn a_users_query_replaces_the_built_in_one() {
        let mut built_in = library(&[("detect/a/rule.sql", "events"), ("views/b.sql", "events")]).unwrap();
        built_in.extend(library(&[("detect/mine/rule.sql", "events")]).unwrap());
        assert_eq!(built_in.queries().len(), 2);
        assert_eq!(built_in.get("rule").unwrap().group, "mine");
    }

    #[test]
    fn the_binary_holds_every_file_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        let on_disk = walkdir::WalkDir::new(&folder).into_iter().flatten().filter(|entry| is_query_file(entry.path()));
        let mut inside = Vec::new();
        embedded(&BUILT_IN, &mut inside);
        assert_eq!(inside.len(), on_disk.count(), "rebuild: include_dir does not notice new files");
    }
}
