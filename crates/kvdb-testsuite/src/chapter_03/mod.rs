//! Chapter 3: single-key verbs.

mod basic;
mod compare;
mod race;
mod reads;
mod tree;

pub(crate) use tree::fill;

use crate::trials;

trials! {
    "3.1 get answers the pair or nothing" => reads::get;
    "3.1 a read shows every write that was answered before it", needs(LINEARIZABLE_READS) => reads::linearizable;
    "3.2 a stale read answers a state that was, and comes to the present one" => reads::stale;
    "3.3 a strict read shows every write that was answered before it" => reads::strict;
    "3.3 without LINEARIZABLE_READS plain reads are still answered", lacks(LINEARIZABLE_READS) => reads::get;
    "3.4 values of a type are JSON" => basic::json;
    "3.4 bad JSON is Serialization with the key, and nothing is written" => basic::bad_json;
    "3.5 put tells Create from Set" => basic::put;
    "3.6 create refuses a present key" => basic::create;
    "3.7 update refuses an absent key" => basic::update;
    "3.8 delete answers the old pair, and refuses an absent key" => basic::delete;
    "3.9 delete_tree answers the number removed and removes nothing beside" => tree::removes_the_directory;
    "3.9 delete_tree is one step", needs(DELETE_RANGE|ATOMIC_LIST) => tree::one_step;
    "3.9 without DELETE_RANGE it works in pages, each atomic", lacks(DELETE_RANGE) => tree::removes_the_directory;
    "3.9 without DELETE_RANGE a directory over the batch limit goes too", lacks(DELETE_RANGE) => tree::many_keys;
    "3.9 a directory of many keys goes whole" => tree::many_keys;
    "3.10 compare_and_set keeps every row of the table in every state of the key" => compare::set_table;
    "3.10 compare_and_set names the condition that fails" => compare::set_errors;
    "3.10 compare_and_set writes the pair's TTL only with the TTL flag", needs(TTL) => compare::set_ttl;
    "3.10 the builder's conditions are those of the table" => compare::builder_conditions;
    "3.11 compare_and_delete keeps every row of the table in every state of the key" => compare::delete_table;
    "3.11 compare_and_delete without a flag compares the value" => compare::delete_without_flag;
    "3.12 test_and_set answers whether the value was the old one" => compare::test_and_set;
    "3.13 of racing creates exactly one wins, round after round" => race::creates;
    "3.13 of racing compare_and_sets exactly one wins" => race::compare_and_sets;
    "3.13 of racing deletions exactly one wins" => race::deletions;
    "3.13 a condition on an earlier incarnation never holds again" => race::earlier_incarnation;
    "3.13 a counter raised by compare_and_set loses nothing across re-creation" => race::counter;
}
