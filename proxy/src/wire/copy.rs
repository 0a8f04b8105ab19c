//! COPY in and out.
