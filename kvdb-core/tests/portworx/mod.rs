mod admin;
mod compare;
mod data;
mod locks;
mod snapshots;
mod tx;
mod watches;
