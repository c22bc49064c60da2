//! Tells cargo that the binary holds the query files: the library is embedded, and without this a new file would be noticed
//! only at the next change of the code.

fn main() {
    println!("cargo::rerun-if-changed=queries");
}
