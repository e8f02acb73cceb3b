mod persistent_lease;
mod wait_for;
