-- A journal as the first version of its schema kept it, with something of everything in it. Never changed: every later version
-- must understand it.
BEGIN TRANSACTION;
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES('schema',1);
CREATE TABLE scope (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    workspace TEXT NOT NULL,
    cursor TEXT,
    last_poll INTEGER,
    -- The damaged file whose messages are still to be looked for, if there is one.
    lost TEXT,
    crc INTEGER NOT NULL,
    UNIQUE (origin, workspace)
);
INSERT INTO scope VALUES(1,'http://127.0.0.1:8080','w','["done",1780000002000000,17]',1780000002000000,NULL,2059190833);
CREATE TABLE message (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    activity_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('held', 'new', 'leased', 'done', 'aside', 'recovered', 'damaged')),
    kind TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    message_id TEXT,
    digest TEXT,
    delegation_id TEXT,
    in_reply_to TEXT,
    body TEXT NOT NULL,
    crc INTEGER NOT NULL,
    maybe_reply_to TEXT,
    delivery_count INTEGER NOT NULL DEFAULT 0,
    expired_leases INTEGER NOT NULL DEFAULT 0,
    lease_session TEXT,
    lease_boot TEXT,
    lease_until INTEGER,
    done_at INTEGER,
    UNIQUE (scope, activity_id)
);
INSERT INTO message VALUES(1,1,'new',1780000001000000,'new','peer_agent','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,NULL,NULL,'{"activity_id":"new","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of new","method":"message/send","created_at":"2026-05-28T20:26:41.000000Z","at":1780000001000000}',3119388644,'d-2',0,0,NULL,NULL,NULL,NULL);
INSERT INTO message VALUES(2,1,'leased',1780000000000000,'leased','peer_agent','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,NULL,NULL,'{"activity_id":"leased","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of leased","method":"message/send","created_at":"2026-05-28T20:26:40.000000Z","at":1780000000000000}',77189121,'d-2',1,0,'801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','boot-1',1600000000,NULL);
INSERT INTO message VALUES(3,1,'done',1780000002000000,'done','peer_agent','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,NULL,NULL,'{"activity_id":"done","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of done","method":"message/send","created_at":"2026-05-28T20:26:42.000000Z","at":1780000002000000}',684486826,NULL,0,0,NULL,NULL,NULL,1780000000000000);
INSERT INTO message VALUES(4,1,'repeated',1780000020000000,'aside','peer_agent','5f0c1d2e-0000-4000-8000-000000000001','mid','digest',NULL,NULL,'{"activity_id":"repeated","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of repeated","method":"message/send","created_at":"2026-05-28T20:27:00.000000Z","at":1780000020000000,"message_id":"mid","digest":"digest"}',2283318175,'d-2',0,5,NULL,NULL,NULL,NULL);
INSERT INTO message VALUES(5,1,'held',1780000003000000,'held','peer_agent','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,NULL,NULL,'{"activity_id":"held","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of held","method":"message/send","created_at":"2026-05-28T20:26:43.000000Z","at":1780000003000000}',2114952227,'d-2',0,0,NULL,NULL,NULL,NULL);
INSERT INTO message VALUES(6,1,'recovered',1780000004000000,'recovered','peer_agent','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,NULL,NULL,'{"activity_id":"recovered","kind":"peer_agent","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"text of recovered","method":"message/send","created_at":"2026-05-28T20:26:44.000000Z","at":1780000004000000}',2279376139,NULL,0,0,NULL,NULL,NULL,NULL);
INSERT INTO message VALUES(7,1,'local:f8e78c89-9ddf-4e87-8c64-b1eacc0a2d7f',1780000000000000,'new','system','',NULL,NULL,NULL,NULL,'{"activity_id":"local:f8e78c89-9ddf-4e87-8c64-b1eacc0a2d7f","kind":"system","peer_id":"","text":"said once","method":"","created_at":"2026-05-28T20:26:40.000000Z","at":1780000000000000}',3993726463,NULL,0,0,NULL,NULL,NULL,NULL);
INSERT INTO message VALUES(8,1,'local:delegation:87fb0e2c-6bf5-4803-b7e4-ad562e0fa371',1780000000000000,'new','delegation_result','5f0c1d2e-0000-4000-8000-000000000001',NULL,NULL,'d-1',NULL,'{"activity_id":"local:delegation:87fb0e2c-6bf5-4803-b7e4-ad562e0fa371","kind":"delegation_result","peer_id":"5f0c1d2e-0000-4000-8000-000000000001","text":"the answer","method":"","created_at":"2026-05-28T20:26:40.000000Z","at":1780000000000000,"delegation_id":"d-1"}',3913388583,NULL,0,0,NULL,NULL,NULL,NULL);
CREATE TABLE alias (
    scope INTEGER NOT NULL,
    activity_id TEXT NOT NULL,
    original TEXT NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (scope, activity_id)
) WITHOUT ROWID;
INSERT INTO alias VALUES(1,'repeated-again','repeated',1780000000000000);
CREATE TABLE announced (
    scope INTEGER NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
INSERT INTO announced VALUES(1,'a-name',1780000000000000);
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    work TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    progress TEXT NOT NULL
        CHECK (progress IN ('pending', 'accepted', 'delivered', 'answered', 'failed', 'delivered_unconfirmed', 'unknown', 'damaged')),
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delegation_id TEXT,
    answer TEXT,
    answer_activity TEXT,
    detail TEXT,
    replies_to TEXT,
    request_id TEXT,
    awaited_by TEXT,
    crc INTEGER NOT NULL
);
INSERT INTO outbox VALUES(1,1,'795c735c-0a23-4baa-881f-3dce0306729d','801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','delegate','5f0c1d2e-0000-4000-8000-000000000001','{"work":"delegate","target":"5f0c1d2e-0000-4000-8000-000000000001","task":"pending work"}','c47af94a5ea626ceb83e35de33785a1d42b6b25aa94d7273298f842d875813a8','pending',1780000000000000,1780000000000000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2358803930);
INSERT INTO outbox VALUES(2,1,'87fb0e2c-6bf5-4803-b7e4-ad562e0fa371','801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','delegate','5f0c1d2e-0000-4000-8000-000000000001','{"work":"delegate","target":"5f0c1d2e-0000-4000-8000-000000000001","task":"answered work"}','573e17380582fbe6cdf6261b820b017c6944f40cfed8829aa8222cee39d444b9','answered',1780000000000000,1780000000000000,0,'d-1','the answer','local:delegation:87fb0e2c-6bf5-4803-b7e4-ad562e0fa371',NULL,NULL,NULL,NULL,626155671);
INSERT INTO outbox VALUES(3,1,'12e8e506-4479-483e-8520-adc23af582c8','801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','delegate','5f0c1d2e-0000-4000-8000-000000000001','{"work":"delegate","target":"5f0c1d2e-0000-4000-8000-000000000001","task":"accepted work"}','200e848c6d7795c2f8df23534e75ce8d22276a58f9661875f480e4d5f11ead31','accepted',1780000000000000,1780000000000000,0,'d-2',NULL,NULL,NULL,NULL,NULL,NULL,3472619660);
INSERT INTO outbox VALUES(4,1,'50f58deb-55ab-438e-b4f4-c9f7f9d97bb6','801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','notify','','{"work":"notify_user","text":"to the person"}','9a83f491336a4e0df4a06cd4fe597d47cca5564dd5e21ffbf8e30b9b6d4c1a2b','pending',1780000000000000,1780000000000000,0,NULL,NULL,NULL,NULL,'new',NULL,NULL,2460306501);
INSERT INTO outbox VALUES(5,1,'c42de165-d853-4699-b06f-1663c3691f64','801cd4d0-9b3c-4e86-a471-b01c0ac54a3c','reply','5f0c1d2e-0000-4000-8000-000000000001','{"work":"reply_to_peer","target":"5f0c1d2e-0000-4000-8000-000000000001","text":"to the peer","in_reply_to":"m","delegation_id":"d-9","context_id":"c"}','5be0e500b76b1a771b4394945441285782841856ddda9db03c94a7fd47c1fd41','pending',1780000000000000,1780000000000000,0,NULL,NULL,NULL,NULL,'repeated','request',NULL,1786243685);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('message',8);
INSERT INTO sqlite_sequence VALUES('outbox',5);
CREATE INDEX message_by_state ON message (scope, state, at, n);
CREATE INDEX message_by_message_id ON message (scope, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX message_by_delegation ON message (scope, delegation_id) WHERE delegation_id IS NOT NULL;
CREATE INDEX message_by_reply ON message (scope, in_reply_to) WHERE in_reply_to IS NOT NULL;
CREATE INDEX message_done ON message (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_by_progress ON outbox (scope, progress, n);
CREATE INDEX outbox_by_target ON outbox (scope, kind, target, n);
CREATE INDEX outbox_by_fingerprint ON outbox (scope, fingerprint, n);
CREATE INDEX outbox_by_delegation ON outbox (scope, delegation_id) WHERE delegation_id IS NOT NULL;
CREATE INDEX outbox_awaited ON outbox (scope) WHERE awaited_by IS NOT NULL;
CREATE INDEX outbox_updated ON outbox (updated);
COMMIT;
PRAGMA application_id = 1299139186;
PRAGMA user_version = 1;
