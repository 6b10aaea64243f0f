package engine

import "strings"

// stateOf computes what is shown of a version from what is asked of it and what is observed; seen is nil where nothing of
// it is.
//
// The manager may not have heard of the last wish yet. What it tells then is about an older one: an error of it is not
// shown, and what runs although it should not is STOPPING already.
func stateOf(ledger *Ledger, entry *Entry, sight sight, seen *ObservedVersion) (State, string) {
	switch {
	case entry.Creating():
		return StateCreating, ""
	case entry.Deleting || ledger.Deleting:
		return StateDeleting, ""
	case entry.WishRevision == 0: // never asked to run: nothing of it can be there
		return StateStopped, lacking(entry)
	case !sight.known:
		return StateUnknown, "runtime " + ledger.Name + " cannot be observed now"
	case entry.Running:
		return runningState(ledger, entry, sight, seen)
	default:
		return restingState(entry, seen)
	}
}

func runningState(ledger *Ledger, entry *Entry, sight sight, seen *ObservedVersion) (State, string) {
	if seen == nil {
		return StateStarting, ""
	}
	switch {
	case seen.Phase == Started && ledger.Published == entry.Name && sight.Published == entry.Name:
		return StatePublished, ""
	case seen.Phase == Started:
		return StateStarted, ""
	case seen.Phase == Failed && seen.Revision >= entry.WishRevision:
		return StateError, seen.Reason
	default:
		return StateStarting, ""
	}
}

func restingState(entry *Entry, seen *ObservedVersion) (State, string) {
	switch {
	case seen == nil || seen.Phase == Stopped:
		return StateStopped, lacking(entry)
	case seen.Phase == Failed && seen.Revision >= entry.WishRevision:
		return StateError, seen.Reason
	default:
		return StateStopping, ""
	}
}

// lacking tells what keeps a version from being started.
func lacking(entry *Entry) string {
	if len(entry.Missing) == 0 {
		return ""
	}
	return "it cannot be started until these configuration values are set: " + strings.Join(entry.Missing, ", ")
}
