//! Writes the corpus's seeds, for whoever has changed them: `cargo run -p plimsoll-fuzz --bin corpus`.
//! Inputs that were added by hand, because something was found with them, stay as they are.

use std::{fs, io, path::Path};

use plimsoll_fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (name, content) in seeds(target.name) {
            fs::write(folder.join(name), content)?;
        }
    }
    Ok(())
}
