use std::time::Duration;

use kvdb::portworx::Users as _;
use kvdb::prelude::*;
use kvdb::{AdminReply, AdminRequest, ErrorKind, PermissionType, Secret};
use kvdb_testsuite::{Proof, ensure, ensure_eq, fail};

use super::Place;

pub(super) async fn every_call(on: Place) -> Proof {
    let root = on.root().await?;
    root.add_user("me", "word").await?;
    root.grant_user_access("me", PermissionType::ReadWrite, "").await?;
    let me = on.open_as("me", "word").await?;
    me.put("k", "1").await?;
    let endpoint = on.cluster.endpoints().swap_remove(0);
    let id = on.cluster.member(0)?.id()?;
    let (name, subtree) = ("you".to_owned(), "tree".to_owned());
    let (host, port) = ("127.0.0.1".to_owned(), 2380);
    let permission = PermissionType::Read;
    for request in [
        AdminRequest::AddUser { name: name.clone(), password: Secret::new("word") },
        AdminRequest::RemoveUser { name: "me".to_owned() },
        AdminRequest::GrantUserAccess { name: "me".to_owned(), permission, subtree: subtree.clone() },
        AdminRequest::RevokeUserAccess { name: "me".to_owned(), subtree },
        AdminRequest::AddMember { host: host.clone(), port, name: name.clone() },
        AdminRequest::AddLearner { host: host.clone(), port, name: name.clone() },
        AdminRequest::PromoteMember { id },
        AdminRequest::UpdateMember { host: host.clone(), port, name: name.clone() },
        AdminRequest::RemoveMember { name, host },
        AdminRequest::RemoveMemberById { id },
        AdminRequest::ListMembers { within: None },
        AdminRequest::Defragment { endpoint: endpoint.clone(), timeout: Duration::from_secs(10) },
    ] {
        let named = format!("{request:?}");
        match me.admin(request).await {
            Err(error) if *error.kind() == ErrorKind::PermissionDenied => {
                ensure!(!format!("{error} {error:?}").contains("word"), "{named} shows a secret: {error:?}");
            }
            other => fail!("{named}: {other:?}"),
        }
    }
    // These ask the client alone.
    ensure_eq!(me.admin(AdminRequest::Endpoints).await?, AdminReply::Endpoints(vec![endpoint.clone()]));
    me.admin(AdminRequest::SetEndpoints(vec![endpoint])).await?;
    me.put("k", "2").await?;
    Ok(())
}
