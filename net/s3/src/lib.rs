//! weir-s3
