//! Chapter 1: keys and values.

mod prefixes;
mod reserved;
mod spelling;
mod values;

use crate::trials;

trials! {
    "1.1 slashes beside segments are removed by every verb alike" => spelling::slashes_are_removed;
    "1.1 locks are named by the same rules" , needs(LEASES) => spelling::lock_names_too;
    "1.1 keys come back relative to the domain, whatever its depth" => spelling::relative_to_the_domain;
    "1.2 what is no key is refused by every verb and nothing is sent" => spelling::no_keys;
    "1.2 every control character is refused" => spelling::control_characters;
    "1.2 what is no prefix is refused by every verb and nothing is sent" => spelling::no_prefixes;
    "1.2 all other text works" => spelling::all_other_text;
    "1.3 a domain never sees another that begins with its name" => prefixes::app_and_app2;
    "1.3 domains of which one holds the other overlap" => prefixes::domains_overlap;
    "1.3 the spelling of a domain is that of a key" => prefixes::spelling_of_a_domain;
    "1.4 a prefix is a directory to every verb" => prefixes::directories;
    "1.4 the empty prefix is the whole domain" => prefixes::whole_domain;
    "1.4 ranges have the bounds that were given" => prefixes::ranges;
    "1.4 watched prefixes and ranges show what lies in them" => prefixes::watched_prefixes;
    "1.5 any bytes are a value" => values::any_bytes;
    "1.5 absent is not empty" => values::absent_is_not_empty;
    "1.5 a key has a value and children at once" => values::value_and_children;
    "1.5 implicit parents are no keys" => values::implicit_parents;
    "1.6 the reserved segment is refused at every depth by every verb" => reserved::refused;
    "1.6 what lies under the reserved segment is invisible" => reserved::invisible;
    "1.6 deleting trees and ranges leaves the reserved segment alone" => reserved::survives_deletion;
    "1.7 a value over the limit is refused before anything is sent" => values::too_large_a_value;
    "1.7 a value at the limit is taken" => values::a_value_at_the_limit;
    "1.7 a key over the limit is refused by every verb before anything is sent" => values::too_large_a_key;
}
