mod compare;
mod data;
mod locks;
mod watches;
