mod close;
mod deadlines;
mod fatal;
mod handle;
mod pairs;
mod watches;
