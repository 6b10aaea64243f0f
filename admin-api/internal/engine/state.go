package engine

import (
	"fmt"
	"strings"
)

// StateOf computes what a version is from what is asked of it and what is observed. known says whether its runtime can be
// observed at all; seen is nil where nothing of the version is.
//
// The manager may not have heard of the last change yet. What it tells then is about an older wish, so an error of it is not
// shown, and what runs although it should not is STOPPING already.
func StateOf(runtime Runtime, entry Entry, known bool, address string, seen *VersionObservation) (State, string) {
	switch {
	case entry.Lease != nil:
		return Creating, ""
	case entry.Deleting || runtime.Deleting:
		return Deleting, ""
	case !entry.Asked:
		return notAsked(entry)
	case !known:
		return Unknown, "the runtime cannot be observed now"
	case entry.Running:
		return running(runtime, entry, address, seen)
	default:
		return notRunning(entry, seen)
	}
}

// notAsked is a version that never was asked to run: nothing of it can be there.
func notAsked(entry Entry) (State, string) {
	if len(entry.Missing) > 0 {
		return Stopped, fmt.Sprintf("configuration values are missing: %s", strings.Join(entry.Missing, ", "))
	}
	return Stopped, ""
}

func running(runtime Runtime, entry Entry, address string, seen *VersionObservation) (State, string) {
	published := runtime.Published == entry.Name
	if seen == nil {
		return Starting, ""
	}
	heard := seen.Revision >= entry.Revision
	switch {
	case seen.Phase == Started && published && address == entry.Name:
		return Published, ""
	case seen.Phase == Started:
		return Started, ""
	case seen.Phase == Failed && (heard || published):
		return Failed, seen.Reason
	default:
		return Starting, seen.Reason
	}
}

func notRunning(entry Entry, seen *VersionObservation) (State, string) {
	switch {
	case seen == nil || seen.Phase == Stopped:
		return notAsked(entry)
	case seen.Phase == Failed && seen.Revision >= entry.Revision:
		return Failed, seen.Reason
	default:
		return Stopping, seen.Reason
	}
}
