-- The database of caf: everything that must survive a power cut, and nothing else.
--
-- One file, one supervisor that writes most of it, and people whose commands write the rest. Both use the same
-- functions (caf/store/*.py), each of which is one transaction begun with BEGIN IMMEDIATE, so that a reader sees
-- either all of a change or nothing. The journal is TRUNCATE, not WAL: two processes write, and a commit of half a
-- millisecond is quick enough.
--
-- How to read it
-- --------------
-- A *run* is what the run database says, merged over all looks at it (a value once known is never forgotten), with
-- where it stands. What was decided about it is a *verdict*: the answers of every condition of every listener. Very
-- many runs get the same answers, so verdicts are interned: a row for each distinct text of answers under one
-- *configuration*, and the run points to it. The configuration is kept in full, so "wanted" is always what it was;
-- "seen" are the run's own columns. When a run is judged again the verdict that it had moves to *former_verdict*,
-- together with what had been seen. A first verdict is its own audit record.
--
-- A *job* is one run's work for one job configuration; there is never a second one for the same pair. Its *state*
-- changes only along the rows of *transition*, which the trigger below enforces whoever writes; caf/domain/jobs.py is
-- where that table is kept. Each *attempt* has a *token*, stored before the batch system is asked, and is never begun
-- before the one before it is proved to have ended or to be unable to start. Every change has its row in *audit*,
-- written in the same transaction.
--
-- What an attempt's outcome sets off on the supervisor's host stands in *afterwards*.
--
-- What an attempt leaves on the disk is its *area*, from when it is over: what it weighs, and what became of it. The row
-- stays when the files are gone. A *pin* keeps the areas of a job; *measurement* is how full the account was.
--
-- Mail is composed from what *audit* has gained since an *addressee* was last written to, and stands in *outbox* until
-- a server has taken it.
--
-- *run_count* and *job_count* are kept by triggers: a status page must not count a million rows.
--
-- The status page is written in files of a block of runs or jobs each. A trigger counts each block's changes in *page*,
-- so that a round of the report duty looks at what has changed, not at history. *tally* sums what happened day by day,
-- *shown* is what was copied beside the page.
--
-- Conventions: times of runs are integer ns since 1970 UTC, as COOL has them; times of caf's own doings are REAL
-- seconds since 1970 UTC. Flags are 0 and 1. NULL is "not known". Masks are 32 hexadecimal digits, since SQLite's
-- integers end at 64 bits. Names of attributes are those of the field and always quoted ("end" is a keyword).
-- SQLite 3.34 must do: no STRICT tables, no RETURNING.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Each listeners.toml that was ever in force, as it was written.
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    path TEXT NOT NULL,
    first_used REAL NOT NULL,
    last_used REAL NOT NULL
);

CREATE TABLE verdict (
    id INTEGER PRIMARY KEY,
    configuration_id INTEGER NOT NULL REFERENCES configuration (id),
    status TEXT NOT NULL CHECK (status IN ('OPEN', 'ACCEPTED', 'UNCLAIMED', 'CONFLICT', 'IGNORED')),
    listener TEXT,
    needs_validation INTEGER CHECK (needs_validation IN (0, 1)),
    answers TEXT NOT NULL,
    UNIQUE (configuration_id, answers),
    CHECK ((status = 'ACCEPTED') = (listener IS NOT NULL)),
    CHECK ((status = 'ACCEPTED') = (needs_validation IS NOT NULL))
);

CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    -- what the run database says
    run_type TEXT,
    partition TEXT,
    daq_configuration TEXT,
    detector_mask TEXT,
    project_tag TEXT,
    recorded INTEGER,
    "start" INTEGER,
    "end" INTEGER,
    duration INTEGER,
    clean_stop INTEGER,
    lumi_blocks INTEGER,
    l1_events INTEGER,
    l2_events INTEGER,
    ef_events INTEGER,
    recorded_events INTEGER,
    stored_events INTEGER,
    tier0_tag TEXT,
    gain_strategy TEXT,
    data_source TEXT,
    error_bits INTEGER,
    last_lb_end INTEGER,               -- end of the trigger's last lumi block: the end of a run that never got one
    extra TEXT,                        -- JSON object of the attributes that the configuration added
    notes TEXT,                        -- JSON object: which values are inherited or not final
    -- what caf makes of it
    status TEXT NOT NULL CHECK (status IN ('OPEN', 'ACCEPTED', 'UNCLAIMED', 'CONFLICT', 'IGNORED')),
    listener TEXT,
    needs_validation INTEGER CHECK (needs_validation IN (0, 1)),
    verdict_id INTEGER NOT NULL REFERENCES verdict (id),
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    first_seen REAL NOT NULL,
    judged REAL NOT NULL,
    last_change INTEGER,               -- ns; the last change that caf itself saw after its first look
    jobs_due INTEGER NOT NULL DEFAULT 0 CHECK (jobs_due IN (0, 1)),  -- accepted, its jobs not made yet
    disputed INTEGER NOT NULL DEFAULT 0 CHECK (disputed IN (0, 1)),  -- its jobs no longer agree with its verdict
    decided_by TEXT,                   -- the person who assigned or ignored it
    reason TEXT,                       -- theirs
    CHECK ((status = 'ACCEPTED') = (listener IS NOT NULL)),
    CHECK ((status = 'ACCEPTED') = (needs_validation IS NOT NULL)),
    CHECK (jobs_due = 0 OR status = 'ACCEPTED')
);
CREATE INDEX run_open ON run (run) WHERE status = 'OPEN';
CREATE INDEX run_asking ON run (run) WHERE status = 'CONFLICT' OR disputed = 1;
CREATE INDEX run_jobs_due ON run (run) WHERE jobs_due = 1;

-- A file of the status page: the jobs or configurations whose id, or the runs whose number, divided by the kind's size
-- is its number.
-- `written` is the count of changes that its file holds; a change that comes while it is written is not lost.
CREATE TABLE page (
    kind TEXT NOT NULL CHECK (kind IN ('jobs', 'runs', 'details', 'configurations')),
    number INTEGER NOT NULL,
    changes INTEGER NOT NULL DEFAULT 1,
    written INTEGER NOT NULL DEFAULT 0,
    name TEXT,                         -- of its file, which holds a sum of what is in it; NULL: nothing of it is shown
    about TEXT,                        -- JSON: what the index says of it
    PRIMARY KEY (kind, number)
) WITHOUT ROWID;
CREATE INDEX page_due ON page (kind, number) WHERE changes <> written;
CREATE TRIGGER configuration_kept AFTER INSERT ON configuration BEGIN
    INSERT INTO page (kind, number) VALUES ('configurations', NEW.id);
END;

CREATE TABLE former_verdict (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (run),
    judged REAL NOT NULL,
    replaced REAL NOT NULL,
    verdict_id INTEGER NOT NULL REFERENCES verdict (id),
    settled INTEGER NOT NULL,
    seen TEXT NOT NULL,                -- JSON object: the run's columns as they were
    why TEXT NOT NULL
);
CREATE INDEX former_verdict_run ON former_verdict (run);

CREATE TABLE run_count (
    status TEXT PRIMARY KEY,
    runs INTEGER NOT NULL
) WITHOUT ROWID;
-- Whoever writes very many runs at once counts them itself, and says so in meta for as long as its transaction lasts.
CREATE TRIGGER run_counted AFTER INSERT ON run
WHEN NOT EXISTS (SELECT 1 FROM meta WHERE name = 'counting_in_bulk')
BEGIN
    INSERT INTO run_count VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET runs = runs + 1;
    INSERT INTO page (kind, number) VALUES ('runs', NEW.run / 512), ('details', NEW.run / 32)
        ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER run_changed AFTER UPDATE ON run BEGIN
    INSERT INTO page (kind, number) VALUES ('runs', NEW.run / 512), ('details', NEW.run / 32)
        ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER run_recounted AFTER UPDATE OF status ON run WHEN OLD.status <> NEW.status BEGIN
    UPDATE run_count SET runs = runs - 1 WHERE status = OLD.status;
    INSERT INTO run_count VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET runs = runs + 1;
END;

-- The legal changes of a job's state; filled from caf/domain/jobs.py when the database is made or migrated.
CREATE TABLE transition (
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (source, target)
) WITHOUT ROWID;

CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (run),
    job TEXT NOT NULL,
    listener TEXT NOT NULL,
    configuration_id INTEGER NOT NULL REFERENCES configuration (id),
    priority INTEGER NOT NULL DEFAULT 0,
    live INTEGER NOT NULL DEFAULT 0 CHECK (live IN (0, 1)),  -- its run was fresh: it goes before all that are not
    state TEXT NOT NULL CHECK (state IN (
        'WAITING', 'NEW', 'STAGING', 'PREPARED', 'SUBMITTING', 'PENDING', 'RUNNING', 'FINISHED', 'CANCELLING',
        'DONE', 'FAILED', 'REJECTED', 'CANCELLED')),
    next_state TEXT CHECK (next_state IN ('NEW', 'WAITING', 'CANCELLED')),
    result TEXT CHECK (result IN (
        'ok', 'exit_code', 'log', 'outputs', 'check', 'signal', 'memory', 'walltime', 'node', 'refused', 'staging',
        'preparation')),
    reason TEXT NOT NULL,              -- one line: why it is where it is
    attempt INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    token TEXT UNIQUE,                 -- the current attempt's; stored before the batch system is asked
    batch_id TEXT,
    tries INTEGER NOT NULL DEFAULT 0,  -- attempts that the infrastructure broke, since a person last touched it
    looks INTEGER NOT NULL DEFAULT 0,  -- how often its raw files were looked for
    files_mark TEXT,                   -- of raw files that may still grow: what the last look saw of sizes and times,
    files_since REAL,                  -- and since when, by caf's own clock, it has seen just that
    recall TEXT,                       -- what the storage calls the request for the files on tape
    not_before REAL,                   -- back-off: not looked at again before
    unknown_since REAL,                -- since when the batch system does not know it
    tags TEXT,                         -- JSON object: tags that a person set for this time; gone once it has ended
    renew INTEGER NOT NULL DEFAULT 0 CHECK (renew IN (0, 1)),  -- a person asked for it again: by today's configuration
    created REAL NOT NULL,
    since REAL NOT NULL,               -- when it came into its state, or a person last touched it
    updated REAL NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0 CHECK (acknowledged IN (0, 1)),
    memory INTEGER,                    -- bytes; what it asks for, grown since it had too little; NULL: as configured
    walltime REAL,                     -- s; the same
    twins TEXT,                        -- ids of further batch jobs that carry its token and are not over
    adopted TEXT,                      -- the one of them that a person said is the job
    lost TEXT,                         -- "who: why", where a person says that the current attempt is gone
    mark TEXT CHECK (mark IN ('good', 'bad')),  -- what a person says of a DONE result
    marked TEXT,                       -- "who: why"
    UNIQUE (run, job),
    CHECK ((state = 'CANCELLING') = (next_state IS NOT NULL)),
    CHECK (state IN ('DONE', 'FAILED') OR result IS NULL),
    CHECK (state NOT IN ('DONE', 'FAILED') OR result IS NOT NULL),
    CHECK ((state = 'DONE') = (result IS 'ok')),
    CHECK (mark IS NULL OR state = 'DONE'),
    CHECK ((mark IS NULL) = (marked IS NULL)),
    CHECK (lost IS NULL OR state IN ('SUBMITTING', 'PENDING', 'RUNNING', 'CANCELLING')),
    CHECK (state NOT IN ('SUBMITTING', 'PENDING', 'RUNNING', 'FINISHED', 'CANCELLING') OR token IS NOT NULL),
    CHECK (state NOT IN ('WAITING', 'NEW', 'STAGING', 'PREPARED') OR token IS NULL)
);
-- In the order in which they are prepared; not_before stands in it so that those in back-off are passed over cheaply.
CREATE INDEX job_open ON job (state, priority DESC, run, not_before)
    WHERE state NOT IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED');
CREATE INDEX job_asking ON job (id) WHERE state = 'FAILED' AND acknowledged = 0;
-- The queue for slots, in its order; not_before stands in it so that those in back-off are passed over cheaply.
CREATE INDEX job_queue ON job (state, live DESC, priority DESC, job, run, not_before) WHERE state = 'PREPARED';
CREATE INDEX job_name ON job (job, state);
CREATE INDEX job_due ON job (not_before) WHERE not_before IS NOT NULL;

CREATE TRIGGER job_moves BEFORE UPDATE OF state ON job
WHEN OLD.state <> NEW.state
    AND NOT EXISTS (SELECT 1 FROM transition WHERE source = OLD.state AND target = NEW.state)
BEGIN
    SELECT RAISE(ABORT, 'illegal change of a job''s state');
END;
CREATE TRIGGER job_attempts BEFORE UPDATE OF attempt ON job WHEN NEW.attempt NOT IN (OLD.attempt, OLD.attempt + 1)
BEGIN
    SELECT RAISE(ABORT, 'illegal change of a job''s attempt');
END;
CREATE TRIGGER job_stays BEFORE DELETE ON job BEGIN
    SELECT RAISE(ABORT, 'a job is never deleted');
END;

-- Which run of each listener was good last.
CREATE INDEX job_good ON job (listener, run) WHERE state = 'DONE' AND mark IS NOT 'bad';

CREATE TABLE job_count (
    job TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (job, state)
) WITHOUT ROWID;
CREATE TRIGGER job_counted AFTER INSERT ON job BEGIN
    INSERT INTO job_count VALUES (NEW.job, NEW.state, 1) ON CONFLICT (job, state) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER job_recounted AFTER UPDATE OF state ON job WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO job_count VALUES (OLD.job, OLD.state, -1), (NEW.job, NEW.state, 1)
        ON CONFLICT (job, state) DO UPDATE SET jobs = jobs + excluded.jobs;
END;

CREATE TRIGGER job_shown AFTER INSERT ON job BEGIN
    INSERT INTO page (kind, number) VALUES ('jobs', NEW.id / 500), ('runs', NEW.run / 512), ('details', NEW.run / 32)
        ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER job_shown_anew AFTER UPDATE OF state, reason, batch_id, unknown_since, twins, lost, updated,
    acknowledged, mark, marked, adopted ON job WHEN OLD.state = NEW.state
BEGIN
    INSERT INTO page (kind, number) VALUES ('jobs', NEW.id / 500), ('details', NEW.run / 32)
        ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1;
END;
CREATE TRIGGER job_shown_with_its_run AFTER UPDATE OF state ON job WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO page (kind, number) VALUES ('jobs', NEW.id / 500), ('details', NEW.run / 32), ('runs', NEW.run / 512)
        ON CONFLICT (kind, number) DO UPDATE SET changes = changes + 1;
END;

-- What a person has stopped the submitting of: one job configuration by its name, or with '' all of them.
CREATE TABLE pause (
    job TEXT PRIMARY KEY,
    since REAL NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;

-- Each use of a token: what was given to the batch system, and what became of it.
CREATE TABLE attempt (
    job_id INTEGER NOT NULL REFERENCES job (id),
    attempt INTEGER NOT NULL,
    token TEXT NOT NULL UNIQUE,
    batch_id TEXT,
    asked REAL NOT NULL,               -- when its token was stored
    started REAL,
    ended REAL,
    node TEXT,
    exit_code INTEGER,
    result TEXT,
    reason TEXT,
    archive_due REAL,                  -- it is over and not archived: when that is tried (again)
    archive_tries INTEGER NOT NULL DEFAULT 0,
    archive_error TEXT,                -- why it could not be archived the last time
    archive TEXT,                      -- where it is archived, a path or URL,
    archived REAL,                     -- since when: every file was compared
    PRIMARY KEY (job_id, attempt),
    CHECK ((archived IS NULL) = (archive IS NULL)),
    CHECK (archived IS NULL OR archive_due IS NULL)
) WITHOUT ROWID;
CREATE INDEX attempt_to_archive ON attempt (archive_due) WHERE archive_due IS NOT NULL;

CREATE TRIGGER attempt_archived AFTER UPDATE OF archive, archive_error ON attempt BEGIN
    UPDATE page SET changes = changes + 1
        WHERE kind = 'details' AND number = (SELECT run / 32 FROM job WHERE id = NEW.job_id);
END;

-- The after-scripts of attempts that became DONE or FAILED: noted in the transaction of that outcome, so that none is
-- missed and none is noted twice, and run in their order, one at a time, on the supervisor's host. `begun` is committed
-- before a script is started. One that has begun and not ended when nobody runs it was interrupted by the end of its
-- supervisor; it is begun once more, and given up after that. As long as one is open its attempt's archive_due is
-- NULL: an area is archived with what its scripts have left there.
CREATE TABLE afterwards (
    job_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL CHECK (step >= 1),
    outcome TEXT NOT NULL CHECK (outcome IN ('DONE', 'FAILED')),
    command TEXT NOT NULL,             -- JSON array: program and arguments, as they are
    timeout REAL NOT NULL,             -- s
    made REAL NOT NULL,
    looks INTEGER NOT NULL DEFAULT 0,  -- how often its area could not be used
    not_before REAL,                   -- back-off after that
    tries INTEGER NOT NULL DEFAULT 0,  -- how often it was begun
    begun REAL,
    ended REAL,
    error TEXT,                        -- of one that has ended what was wrong, of others what holds them up
    PRIMARY KEY (job_id, attempt, step),
    FOREIGN KEY (job_id, attempt) REFERENCES attempt (job_id, attempt)
) WITHOUT ROWID;
CREATE INDEX afterwards_open ON afterwards (made, job_id, attempt, step) WHERE ended IS NULL;

CREATE TRIGGER afterwards_changed AFTER UPDATE OF begun, ended, error ON afterwards BEGIN
    UPDATE page SET changes = changes + 1
        WHERE kind = 'details' AND number = (SELECT run / 32 FROM job WHERE id = NEW.job_id);
END;

-- What of an attempt that is over is copied beside the status page: the files that its job shows, and its logs.
CREATE TABLE shown (
    job_id INTEGER NOT NULL REFERENCES job (id),
    attempt INTEGER NOT NULL,
    due REAL,                          -- it is to be copied: when that is tried (again)
    tries INTEGER NOT NULL DEFAULT 0,
    files TEXT,                        -- JSON array: what was copied, and what could not be
    error TEXT,                        -- why it could not be copied the last time
    copied REAL,
    removed REAL,                      -- since when the copies are gone, for their age
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;
CREATE INDEX shown_due ON shown (due) WHERE due IS NOT NULL;
CREATE INDEX shown_copied ON shown (copied) WHERE copied IS NOT NULL AND removed IS NULL;
CREATE TRIGGER shown_changed AFTER UPDATE ON shown BEGIN
    UPDATE page SET changes = changes + 1
        WHERE kind = 'details' AND number = (SELECT run / 32 FROM job WHERE id = NEW.job_id);
END;

-- What happened day by day, summed from the audit trail up to the row that meta's "tallied" names, in the transaction
-- that moves this on: so nothing is counted twice and nothing is left out. `bucket` is that of a time that was measured
-- (caf/domain/spans.py), or 0.
CREATE TABLE tally (
    day INTEGER NOT NULL,              -- since 1970 UTC; -1: all days together
    measure TEXT NOT NULL,
    job TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    total REAL NOT NULL,               -- s; sum of what was measured
    PRIMARY KEY (day, measure, job, bucket)
) WITHOUT ROWID;

-- The working areas of attempts that are over. Rows are made by the trigger below and never removed: when the files go,
-- it is said when and why. A removal is `planned` before anything is done; `begun` is committed, after it was looked at
-- again whether it may go, before the first file is touched. What has begun is finished, whatever happens in between.
CREATE TABLE area (
    job_id INTEGER NOT NULL REFERENCES job (id),
    attempt INTEGER NOT NULL,
    over REAL NOT NULL,                -- since when
    weighed REAL,                      -- once; NULL: not yet
    sizes INTEGER,                     -- bytes, by the sizes of files,
    disk INTEGER,                      -- and as the disk counts them
    files INTEGER,                     -- and folders
    planned REAL,
    begun REAL,
    removed REAL,
    why TEXT,                          -- it is planned, begun or removed
    error TEXT,                        -- what was wrong the last time that it was to be weighed or removed
    again REAL,                        -- not tried before
    PRIMARY KEY (job_id, attempt),
    CHECK (begun IS NULL OR planned IS NOT NULL),
    CHECK (planned IS NULL OR why IS NOT NULL),
    CHECK (removed IS NULL OR why IS NOT NULL)
) WITHOUT ROWID;
CREATE INDEX area_over ON area (over);
CREATE INDEX area_there ON area (over, job_id, attempt) WHERE removed IS NULL;
CREATE INDEX area_to_weigh ON area (over) WHERE weighed IS NULL AND removed IS NULL;
CREATE INDEX area_intended ON area (planned) WHERE planned IS NOT NULL AND removed IS NULL;
CREATE INDEX area_troubled ON area (over) WHERE error IS NOT NULL AND removed IS NULL;
CREATE INDEX area_removed ON area (removed) WHERE removed IS NOT NULL;

-- An attempt is over when its job comes to an end, or goes on to the next attempt. No attempt is ever taken up again.
CREATE TRIGGER job_area_over AFTER UPDATE OF state, attempt ON job
WHEN NEW.attempt <> OLD.attempt
    OR (NEW.state IN ('DONE', 'FAILED', 'REJECTED', 'CANCELLED') AND NEW.state <> OLD.state)
BEGIN
    INSERT OR IGNORE INTO area (job_id, attempt, over) VALUES (NEW.id, OLD.attempt, NEW.updated);
END;

-- Jobs whose areas a person wants to stay for a time.
CREATE TABLE pin (
    job_id INTEGER PRIMARY KEY REFERENCES job (id),
    until REAL NOT NULL,
    since REAL NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- How full each limit of the account was, now and then: a forecast needs no more. Pruned by age.
CREATE TABLE measurement (
    at REAL NOT NULL,
    limit_of TEXT NOT NULL,            -- whose limit it is
    counts TEXT NOT NULL CHECK (counts IN ('sizes', 'disk', 'files')),
    used INTEGER NOT NULL,
    most INTEGER,                      -- NULL: no limit
    freed INTEGER NOT NULL,            -- what cleaning removed since the measurement before
    PRIMARY KEY (limit_of, counts, at)
) WITHOUT ROWID;

-- Attempts whose working areas were found when areas were taken over, and whose job this database does not have (yet).
CREATE TABLE stray (
    run INTEGER NOT NULL,
    job TEXT NOT NULL,
    folders TEXT NOT NULL,             -- JSON: what is in them, as caf/storage/survey.py gives it
    found REAL NOT NULL,
    PRIMARY KEY (run, job)
) WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,                 -- a person's login, or the duty
    run INTEGER,
    job TEXT,
    attempt INTEGER,
    was TEXT,                          -- state or status before
    became TEXT,                       -- and after
    why TEXT NOT NULL
);
CREATE INDEX audit_run ON audit (run, job);
-- What the organise duty writes goes with a change of the job itself, which has been noted already.
CREATE TRIGGER audit_shown AFTER INSERT ON audit WHEN NEW.run IS NOT NULL AND NEW.who <> 'organise' BEGIN
    UPDATE page SET changes = changes + 1 WHERE kind = 'details' AND number = NEW.run / 32;
END;

-- Who is written to, and how far each has been told: audit rows after `told` are news to them. Moves on in the very
-- transaction that puts the mail into the outbox.
CREATE TABLE addressee (
    address TEXT PRIMARY KEY,
    told INTEGER NOT NULL,             -- the last row of audit that a digest has taken in
    asked TEXT NOT NULL,               -- JSON array: what needed a person when the last digest was put together
    digest REAL,                       -- when that was
    summed INTEGER NOT NULL,           -- the last row of audit that a summary has taken in
    summary REAL NOT NULL              -- the last time at which a summary was due
) WITHOUT ROWID;

-- Mail that is to be sent, and what was sent of late. Marked once the server has taken it: a death in between sends it
-- again under the same Message-ID. Nobody has more than one waiting of each kind, so that no storm follows a silence.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    address TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('digest', 'summary')),
    created REAL NOT NULL,
    message_id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next REAL NOT NULL,                -- not tried before
    error TEXT,                        -- of the last try
    sent REAL
);
CREATE UNIQUE INDEX outbox_waiting ON outbox (address, kind) WHERE sent IS NULL;
CREATE INDEX outbox_sent ON outbox (sent) WHERE sent IS NOT NULL;

CREATE TABLE duty (
    name TEXT PRIMARY KEY,
    started REAL,                      -- the round that is under way, or the last one
    succeeded REAL,
    failed REAL,
    error TEXT,                        -- of the last round, if that failed
    failures INTEGER NOT NULL DEFAULT 0,  -- one after another
    next REAL,
    progress TEXT,                     -- how far a long round is
    summary TEXT                       -- of the last round that did something
) WITHOUT ROWID;

-- What the source looked like when it was last read as a whole.
CREATE TABLE source (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    identity TEXT NOT NULL,            -- JSON: what is read, from where
    marks TEXT NOT NULL,               -- JSON: each file's device, inode, size, time, change counter
    folders TEXT NOT NULL,             -- JSON: every folder that was ever there
    replica_time INTEGER NOT NULL,     -- ns; when the oldest of the files was last written
    looked REAL NOT NULL,
    stale REAL NOT NULL,               -- s; standing still for longer is an alarm
    absorbed TEXT                      -- the token of the last snapshot, which is kept beside the database
);
