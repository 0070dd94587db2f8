//! Read, build, graft and marshal BuildKit build graphs (LLB).
