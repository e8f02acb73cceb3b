//! Chapter 5: lists.

mod lists;
mod options;
mod pages;
mod select;

use crate::trials;

trials! {
    "5.1 enumerate is sorted by the bytes of the keys, Action Get" => lists::sorted;
    "5.2 the select verbs filter and copy in the order of the keys" => select::select;
    "5.2 a select verb answers an error as an error" => select::select_errors;
    "5.3 keys answers first-level names, sorted, no doubles" => lists::first_level;
    "5.3 with another separator the prefix is raw text" => lists::other_separators;
    "5.4 nothing there is an empty list" => lists::empty;
    "5.4 an error is never an empty list" => lists::errors;
    "5.4 an error in a later page is never a short list" => lists::errors_in_later_pages;
    "5.5 many pages under racing writers show one revision", needs(ATOMIC_LIST) => pages::one_revision;
    "5.5 many pages under racing writers hold every key that was there all along" => pages::complete;
    "5.5 without ATOMIC_LIST a list is answered all the same", lacks(ATOMIC_LIST) => pages::complete;
    "5.5 a slow reader's later pages show the first page's revision", needs(ATOMIC_LIST) => pages::slow_reader;
    "5.6 limit and reverse" => options::limit_and_reverse;
    "5.6 names only and count only" => options::names_and_count;
    "5.6 a read at a past revision shows it", needs(REVISION_READS) => options::at_a_past_revision;
    "5.6 pages at a past revision show it under racing writers", needs(REVISION_READS|ATOMIC_LIST) => pages::at_a_past_revision;
    "5.6 a revision above the present one is FutureRevision", needs(REVISION_READS) => options::future;
    "5.6 compacted history is Compacted with the oldest", needs(REVISION_READS|COMPACT) => options::compacted;
    "5.6 history is kept over a restart", needs(REVISION_READS|DURABLE) => options::over_a_restart;
    "5.6 compaction is kept over a restart", needs(REVISION_READS|COMPACT|DURABLE) => options::compaction_over_a_restart;
    "5.6 unsupported: reading a past revision", lacks(REVISION_READS) => options::at_unsupported;
}
