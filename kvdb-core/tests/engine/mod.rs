mod close;
mod deadlines;
mod fatal;
mod handle;
mod pairs;
mod transact;
mod watches;
