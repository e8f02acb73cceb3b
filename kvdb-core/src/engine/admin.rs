//! Administration: what a request becomes on its way to the store.

use super::Shared;
use super::deadline::Deadline;
use crate::{AdminReply, AdminRequest, CallOptions, Result};

impl Shared {
    pub(super) async fn admin(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply> {
        self.ensure_open()?;
        self.require(request.needs())?;
        let limit = match request {
            AdminRequest::Defragment { timeout, .. } => timeout,
            _ => options.timeout.unwrap_or(self.timeout),
        };
        let mut deadline = Deadline::new(limit);
        match request {
            AdminRequest::GrantUserAccess { name, permission, subtree } => {
                for subtree in self.domain.places(&subtree)? {
                    let place = AdminRequest::GrantUserAccess { name: name.clone(), permission, subtree };
                    self.administer(&place, &mut deadline).await?;
                }
                Ok(AdminReply::Done)
            }
            AdminRequest::RevokeUserAccess { name, subtree } => {
                for subtree in self.domain.places(&subtree)? {
                    let place = AdminRequest::RevokeUserAccess { name: name.clone(), subtree };
                    self.administer(&place, &mut deadline).await?;
                }
                Ok(AdminReply::Done)
            }
            AdminRequest::ListMembers { within } => {
                let within = Some(within.unwrap_or(limit / 4));
                self.administer(&AdminRequest::ListMembers { within }, &mut deadline).await
            }
            request => self.administer(&request, &mut deadline).await,
        }
    }

    async fn administer(&self, request: &AdminRequest, deadline: &mut Deadline) -> Result<AdminReply> {
        if request.repeats() {
            return deadline.read(|| self.backend.admin(request)).await;
        }
        deadline.write(|| self.backend.admin(request)).await
    }
}
