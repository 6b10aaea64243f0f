package plan

// names makes the names of one workflow's streams and subjects out of mapped names. Those hold neither dots nor
// underscores, so that no two of these can meet: beside the workflows, what is the version's own begins with an underscore.
type names struct{ version, workflow string }

func deadStream(version string) string { return "dead_" + version }

// Control is the subject on which the entrypoints of a version (its mapped name) are told what to do.
func Control(version string) string { return "kre." + version + "._control.entrypoint" }

// Status begins the subjects on which the processes of a version (its mapped name) tell how they are: the workflow and the
// node follow; of the entrypoint, its name twice.
func Status(version string) string { return "kre." + version + "._status" }

// Questions begins the subjects on which the nodes of a version (its mapped name) are asked where requests are; the workflow follows.
func Questions(version string) string { return "kre." + version + "._questions" }

// Inbox begins the subjects on which the processes of a version (its mapped name) await answers, and to which they may answer.
func Inbox(version string) string { return "_INBOX." + version }

func (n names) entryStream() string { return "entry_" + n.version + "_" + n.workflow }
func (n names) nodeStream(node string) string {
	return "node_" + n.version + "_" + n.workflow + "_" + node
}

func (n names) prefix() string { return "kre." + n.version + "." + n.workflow }

// entry is where the entrypoint puts the caller's requests.
func (n names) entry() string { return n.prefix() + ".entry" }

// to is a node's private subject, for messages that a person sends again.
func (n names) to(node string) string { return n.prefix() + ".to." + node }

// from begins the subjects of what a node sends.
func (n names) from(node string) string { return n.prefix() + ".from." + node }

func (n names) failure(node string) string { return n.from(node) + ".error" }

func (n names) channel(node, channel string) string {
	if channel == "" {
		return n.from(node) + ".out"
	}
	return n.from(node) + ".ch." + channel
}

// parcel begins the subjects of parcels; a node's only parcel of a run is stored there.
func (n names) parcel(node string) string { return n.from(node) + ".parcel" }

// parcelConsumer is the consumer that takes a node's parcels. No node's mapped name begins with an underscore.
const parcelConsumer = "_parcels"

func (n names) early(node, channel string) string {
	if channel == "" {
		return n.from(node) + ".early"
	}
	return n.from(node) + ".early.ch." + channel
}

func (n names) dead(node string) string {
	return "kre." + n.version + "._dead." + n.workflow + "." + node
}
