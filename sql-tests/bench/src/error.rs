//! Why something could not be measured.

/// What goes wrong while measuring.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refused something: a program that is missing, a folder, a socket.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server answered a statement with an error.
    #[error("{sqlstate}: {message}")]
    Server {
        /// The five characters of the error's class.
        sqlstate: String,
        /// The message, with the detail if there is one.
        message: String,
    },
    /// A server said something that the protocol does not have at that place.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// A server did not come up, or a program did not end well.
    #[error("{0}")]
    Failed(String),
    /// The answer of a workload is not PostgreSQL's: nothing else of that run counts.
    #[error("wrong answer: {0}")]
    Wrong(String),
}

impl Error {
    /// Makes the error of a system call; for `map_err`.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
