//! META lost, damaged, put back from another time, and from another directory.

use super::*;
use crate::meta::META_FILE;

fn meta_path(site: &Site) -> PathBuf {
    site.folder.path().join(META_FILE)
}

/// Cores that hold something.
fn filled(site: &Site) -> Vec<u16> {
    let contents = site.disk.contents().into_iter();
    contents.filter(|(_, (model, _))| !model.rows.is_empty()).map(|(core, _)| core).collect()
}

/// Opening is refused with words that say what to do, and no core that holds something is removed.
fn refused(site: &mut Site, what: &str) -> OpenError {
    let before = filled(site);
    let error = site.open().map(|opened| opened.generation).expect_err(what);
    let text = error.to_string();
    let says = ["restore", "put the file back", "start the version that wrote it"];
    assert!(says.iter().any(|words| text.contains(words)), "{what}: {text}");
    let after = filled(site);
    assert!(
        before.iter().all(|core| after.contains(core)),
        "{what}: {after:?} of {before:?} are left: {text}"
    );
    error
}

/// Proves: G-META-1 (one process, one format, one boot number): without META, and with one that is empty, cut at any byte
/// or has any byte flipped, nothing starts and nothing is changed.
/// Seen to fail when: a META that is empty counts as missing; when one that is missing is made new.
#[test]
fn f_35_a_lost_or_damaged_meta_is_refused_at_every_byte_and_nothing_is_changed() {
    let mut site = Site::new(2);
    let mut opened = site.open().unwrap();
    site.serve(&mut opened, 80);
    drop(opened);
    site.disk.power_cut();
    let path = meta_path(&site);
    let whole = fs::read(&path).unwrap();
    let before = site.disk.contents();
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(&mut site, "no META"), OpenError::MetaMissing { cores: 2, .. }));
    assert!(!path.exists(), "none is made up");
    for at in 0..whole.len() {
        fs::write(&path, &whole[..at]).unwrap();
        let error = refused(&mut site, "a cut META");
        assert!(matches!(error, OpenError::Meta(MetaError::Damaged { .. })), "cut at {at}: {error}");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let error = refused(&mut site, "a flipped META");
        let typed = matches!(error, OpenError::Meta(MetaError::Damaged { .. } | MetaError::Version { .. }));
        assert!(typed, "flipped at {at}: {error}");
        assert_eq!(fs::read(&path).unwrap(), flipped, "left for the operator to look at");
    }
    assert!(site.disk.contents() == before, "a refusal changed the disk");
    fs::write(&path, &whole).unwrap();
    drop(site.open().unwrap());
    site.check(2);
}

/// Proves: G-META-1 (one process, one format, one boot number): a META of an earlier boot is refused, also when the number
/// of shards has changed since, and no core that it does not know is removed.
/// Seen to fail when: a core that owns no slots is removed without a look at its rows.
#[test]
fn f_35_a_stale_meta_is_refused_and_removes_no_core() {
    for flushes in [false, true] {
        let mut site = Site::new(1);
        site.flushes = flushes;
        let path = meta_path(&site);
        let mut older: Vec<(u16, Vec<u8>)> = Vec::new();
        for shards in [1, 2, 2, 3, 1, 4] {
            site.request.shards = shards;
            let mut opened = site.open().unwrap();
            site.serve(&mut opened, 150);
            drop(opened);
            site.disk.power_cut();
            let current = fs::read(&path).unwrap();
            for (then, stale) in &older {
                fs::write(&path, stale).unwrap();
                for asked in [*then, shards] {
                    site.request.shards = asked;
                    refused(&mut site, &format!("META of {then} shards, {shards} now, {asked} asked for"));
                }
            }
            fs::write(&path, &current).unwrap();
            older.push((shards, current));
        }
        site.request.shards = 4;
        drop(site.open().unwrap());
        site.check(4);
    }
}

/// Proves: G-META-1 (one process, one format, one boot number): a META that is stale by boots and moves that wrote nothing
/// loses nothing either: it is refused, or everything is there.
/// Seen to fail when: a core that owns no slots is removed without a look at its rows.
#[test]
fn f_35_a_meta_from_before_a_move_without_traffic_loses_nothing() {
    for (from, to, asked) in [(1, 2, 1), (1, 2, 2), (1, 3, 2), (2, 1, 2), (3, 2, 3), (2, 4, 3)] {
        let mut site = Site::new(from);
        let mut opened = site.open().unwrap();
        site.serve(&mut opened, 200);
        drop(opened);
        site.disk.power_cut();
        let stale = fs::read(meta_path(&site)).unwrap();
        site.request.shards = to;
        drop(site.open().unwrap());
        site.disk.power_cut();
        let current = fs::read(meta_path(&site)).unwrap();
        fs::write(meta_path(&site), &stale).unwrap();
        site.request.shards = asked;
        if site.open().is_ok() {
            site.check(asked);
        } else {
            fs::write(meta_path(&site), &current).unwrap();
            site.request.shards = to;
            drop(site.open().unwrap());
            site.check(to);
        }
    }
}

/// Proves: G-META-1 (one process, one format, one boot number): the META of another data directory is refused, whether that
/// one is older or younger, has served or not.
/// Seen to fail when: `other_log` finds nothing, so that a log which META's key cannot read counts as empty.
#[test]
fn f_35_a_meta_of_another_data_directory_is_refused() {
    for (boots, ops, flushes) in [(1, 0, false), (4, 0, true), (4, 0, false), (1, 200, false), (4, 200, true)]
    {
        let mut site = Site::new(2);
        site.flushes = flushes;
        for _ in 0..2 {
            let mut opened = site.open().unwrap();
            site.serve(&mut opened, 200);
            drop(opened);
            site.disk.power_cut();
        }
        let own = fs::read(meta_path(&site)).unwrap();
        let mut other = Site::new(2);
        other.request.random = 43;
        for _ in 0..boots {
            let mut opened = other.open().unwrap();
            other.serve(&mut opened, ops);
        }
        fs::copy(meta_path(&other), meta_path(&site)).unwrap();
        refused(&mut site, &format!("of a directory with {boots} boots and {ops} operations"));
        fs::write(meta_path(&site), &own).unwrap();
        drop(site.open().unwrap());
        site.check(2);
    }
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): a copy of the whole directory opens with what it held, under a
/// new incarnation, and so does one that was put back over the directory when the operator says so.
/// Seen to fail when: `restored` is not asked; when the origin of the lock file is not compared.
#[test]
fn a_restored_backup_holds_what_it_held_and_changes_the_incarnation() {
    for in_place in [false, true] {
        let mut site = Site::new(2);
        let mut opened = site.open().unwrap();
        site.serve(&mut opened, 150);
        drop(opened);
        site.disk.power_cut();
        let (meta, disk, model) =
            (fs::read(meta_path(&site)).unwrap(), site.disk.copied(), site.model.clone());
        let mut opened = site.open().unwrap();
        assert_eq!(opened.new_incarnation, None);
        site.serve(&mut opened, 150);
        drop(opened);
        assert!(site.model != model, "there was more traffic");
        site.disk = disk;
        site.model = model;
        if in_place {
            site.request.restored = true;
        } else {
            site.folder = tempfile::tempdir().unwrap();
        }
        fs::write(meta_path(&site), &meta).unwrap();
        site.request.incarnation = Incarnation([9; 16]);
        let opened = site.open().unwrap();
        let why = if in_place { NewIncarnation::Restored } else { NewIncarnation::Copied };
        assert_eq!(opened.new_incarnation, Some(why));
        assert_eq!(opened.meta.meta().incarnation, Incarnation([9; 16]));
        assert_eq!(opened.generation, Generation(2), "the boots after the backup are forgotten");
        drop(opened);
        site.check(2);
        site.request.restored = false;
        assert_eq!(site.open().unwrap().new_incarnation, None, "told once");
    }
}
