//! Chapter 2: revisions and pairs.

mod pairs;
mod revisions;

use crate::trials;

trials! {
    "2.1 every write gets a greater revision, whoever writes which key" => revisions::rising;
    "2.1 revisions of racing writers are all different" => revisions::of_racing_writers;
    "2.1 the empty store is at 1 and each changing commit takes exactly the next one" => revisions::counted_exactly;
    "2.1 what changes nothing takes no revision" => revisions::nothing_else_takes_any;
    "2.1 revisions are kept over a restart", needs(DURABLE) => revisions::kept_over_a_restart;
    "2.2 created, modified and version tell a key's incarnation, last write and writes" => pairs::indexes;
    "2.2 version is unknown where the store does not count", lacks(KEY_VERSION) => pairs::indexes;
    "2.2 kvdb_index covers every write that was answered before" => pairs::kvdb_index;
    "2.3 a write answers the pair as it left it, and the one before when asked" => pairs::answer_of_a_write;
    "2.3 under racing writers every previous pair is the one right before" => pairs::previous_under_race;
    "2.3 compare verbs and deletions always answer the pair before" => pairs::previous_of_compare_verbs;
    "2.4 a deleted pair has its old value and created index and the deletion's revision" => pairs::deleted;
    "2.5 an equal value is still a write" => pairs::equal_value;
}
