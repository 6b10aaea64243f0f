// Package engine is the domain of admin-api: runtimes, their versions, and the life of a version. It knows no driver, no
// transport and no cipher; what it needs of the world are its ports (Store, Manager, Runtimes, Calls, Sealer).
//
// # What is stored
//
// State is observed, never remembered. What is stored is what people have asked for, and all of it that has to change
// together is in one document per runtime, its Ledger: the runtime's revision, which version is published, and an Entry
// per version with what is asked of it. Every change is one replacement of that document, guarded by the revision that was
// read (compare-and-set), and raises the revision by one. So there is nothing between two writes in which a crash could
// leave two published versions, a published one that was asked to stop, or a change without its revision.
//
// What is heavy stands beside it, in records that are never changed once written: the Details of a version (what its
// manifest says) and its Config (sealed values). A record bears the id of the upload it belongs to; it is written before
// the ledger names it and removed after the ledger has ceased to, so that a crash leaves a record too many at worst, never
// one too few. Activities are first part of the ledger (its Outbox), in the same write as what they tell of, and are
// moved to their own documents afterwards.
//
// # What is done about it
//
// After a change, the manager is told (with the revision at which the wish in question changed, so that an older wish never
// wins), and a loop tells it again whenever what it shows lags behind: a lost call heals by itself. The same loop finishes
// deletions, ends uploads whose lease is over, and empties outboxes, whichever replica began them.
//
// What is shown (Runtime, Version) is computed from the ledger and what the manager observes: see stateOf.
package engine
