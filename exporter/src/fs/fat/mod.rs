//! FAT.
