//! Sessions. A session is valid only while it is stored, so logging out takes effect on all functions at once.

use calweave_domain::account::{Session, User};
use calweave_domain::ids::{SessionId, UserId};

use super::accounts::{check, put};
use super::{Item, Result, Store, WriteOutcome, from_item, keys, n, s, to_item};

impl Store {
    /// Creates a session. The condition fails when the user no longer exists.
    pub async fn create_session(&self, session: &Session) -> Result<WriteOutcome> {
        let operation = "begin a session";
        let writes = vec![
            check(
                &self.identity,
                keys::user(session.user_id),
                "attribute_exists(pk)",
            )?,
            put(
                &self.identity,
                to_item(
                    operation,
                    keys::session(session.user_id, session.id),
                    session,
                )?,
                None,
            )?,
        ];
        self.transact(operation, writes).await
    }

    /// Returns the session, or `None` when it was ended or has expired. Costs one consistent read.
    pub async fn session(&self, user: UserId, session: SessionId) -> Result<Option<Session>> {
        let found: Option<Session> = self
            .get(
                "read a session",
                &self.identity,
                keys::session(user, session),
                true,
            )
            .await?;
        Ok(found.filter(|session| self.is_valid(session)))
    }

    /// Returns the user, if the session has neither been ended nor has expired. Costs two consistent reads in one call.
    pub async fn user_in_session(&self, user: UserId, session: SessionId) -> Result<Option<User>> {
        let operation = "read a session and its user";
        let keys = [keys::session(user, session), keys::user(user)];
        let keys = keys.map(keys::Key::attributes).to_vec();
        let items = self.read_all(operation, &self.identity, keys).await?;
        let (sessions, users): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(keys::is_session);
        let Some(session) = sessions.into_iter().next() else {
            return Ok(None);
        };
        let session: Session = from_item(operation, session)?;
        if !self.is_valid(&session) {
            return Ok(None);
        }
        let user = users.into_iter().next();
        user.map(|item| from_item(operation, item)).transpose()
    }

    fn is_valid(&self, session: &Session) -> bool {
        session.expires_at > self.clock.now().timestamp()
    }

    /// Replaces the refresh token with hash `old_hash`. The condition fails when that token is no longer the current
    /// one.
    pub async fn rotate_session(&self, session: &Session, old_hash: &str) -> Result<WriteOutcome> {
        let request = self
            .change(&self.identity, keys::session(session.user_id, session.id))
            .update_expression(
                "SET currentHash = :new, previousHash = :old, rotatedAt = :at, expiresAt = :expires",
            )
            .expression_attribute_values(":at", s(self.clock.now().to_rfc3339()))
            .condition_expression("currentHash = :old")
            .expression_attribute_values(":new", s(&session.current_hash))
            .expression_attribute_values(":old", s(old_hash))
            .expression_attribute_values(":expires", n(session.expires_at));
        self.done("rotate a refresh token", request).await
    }

    /// Ends a session, which invalidates all tokens of its family.
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<()> {
        self.delete(
            "end a session",
            &self.identity,
            keys::session(user, session),
        )
        .await
    }

    /// Ends all sessions of a user.
    pub async fn end_all_sessions(&self, user: UserId) -> Result<()> {
        let operation = "end all sessions";
        let query = self
            .query(
                &self.identity,
                keys::user_partition(user),
                keys::SESSION_PREFIX,
            )
            .consistent_read(true);
        for item in self.all(operation, query).await? {
            let session: Session = from_item(operation, item)?;
            self.end_session(user, session.id).await?;
        }
        Ok(())
    }
}
