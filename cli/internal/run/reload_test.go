package run_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASavedNodeIsReplacedAndTheOthersGoOn(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	first, last := k.number(t, "first", 1), k.number(t, "last", 1)

	k.write(t, "bin/first", ready+"# saved\n")
	k.waitFor(t, "first  reloaded")
	require.NotEqual(t, first, k.number(t, "first", 2))
	eventually(t, func() bool { return !alive(first) }, "the old one goes on")
	require.True(t, alive(last))
}

func TestANodeThatWasBrokenGoesOnAsItWasUntilTheNextSave(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	first := k.number(t, "first", 1)

	k.write(t, "bin/first", "#!/bin/sh\necho 'SyntaxError: invalid'\nexit 1\n")
	k.waitFor(t, "first  not reloaded: ended with code 1 before it was ready")
	k.waitFor(t, "first  SyntaxError: invalid")
	require.True(t, alive(first))

	k.write(t, "bin/first", ready+"# mended\n")
	k.waitFor(t, "first  reloaded")
	eventually(t, func() bool { return !alive(first) }, "the old one goes on")
	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
}

func TestASaveEndsAReloadThatHangs(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	k.write(t, "bin/first", "#!/bin/sh\necho hanging\nwhile :; do sleep 0.02; done\n")
	k.waitFor(t, "first  hanging")
	k.write(t, "bin/first", ready+"# mended\n")
	k.waitFor(t, "first  reloaded")
}

func TestASavedManifestChangesWhatItConcerns(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	first, last := k.number(t, "first", 1), k.number(t, "last", 1)

	k.write(t, "krt.yml", manifestHead+strings.Replace(manifestNodes, "[first]", "[firrst]", 1))
	k.waitFor(t, `unknown node "firrst"; did you mean "first"?`)
	require.True(t, alive(first))
	require.True(t, alive(last))

	changed := strings.Replace(manifestNodes, "src: bin/last,", "src: bin/last, env: {COLOUR: blue},", 1)
	k.write(t, "bin/last", strings.Replace(ready, "echo", `echo "colour $COLOUR"; echo`, 1))
	k.write(t, "krt.yml", manifestHead+changed)
	k.waitFor(t, "last   colour blue")
	eventually(t, func() bool { return !alive(last) }, "the old one goes on")
	require.True(t, alive(first))
}

func TestANodeMoreOrLessInTheManifestIsStartedOrEnded(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	k.write(t, "bin/side", ready)
	k.write(t, "krt.yml", manifestHead+manifestNodes+"      - {name: side, image: sh, src: bin/side, subscriptions: [first]}\n")
	side := k.number(t, "side", 1)
	k.waitFor(t, "side   ready")
	k.write(t, "krt.yml", manifestHead+manifestNodes)
	k.waitFor(t, "side   ended: the manifest no longer has it")
	eventually(t, func() bool { return !alive(side) }, "it goes on")
}

func TestASavedConfigurationValueReachesTheNodes(t *testing.T) {
	p := newProject(t)
	p.write(t, "krt.yml", manifestHead+"config: {variables: [COLOUR]}\n"+manifestNodes)
	p.write(t, ".env", "COLOUR=red\n")
	p.write(t, "bin/first", strings.Replace(ready, "echo", `echo "colour $COLOUR"; echo`, 1))
	k := p.run(t)
	k.waitReady(t)
	k.waitFor(t, "first  colour red")
	k.write(t, ".env", "COLOUR=blue\n")
	k.waitFor(t, "first  colour blue")
	k.write(t, ".env", "# nothing\n")
	k.waitFor(t, "not reloaded: the configuration is not complete: COLOUR")
}

func TestASavedProtoRestartsTheEntrypoint(t *testing.T) {
	const proto = "syntax = \"proto3\";\npackage shells;\nservice Shells { rpc Work(Message) returns (Message); }\nmessage Message { string text = 1; }\n"
	p := newProject(t)
	p.write(t, "public_input.proto", proto)
	k := p.run(t)
	k.waitReady(t)
	require.Contains(t, k.stdout.String(), `kre call Work '{"text": "text"}'`)
	k.write(t, "public_input.proto", strings.Replace(proto, "string text = 1;", "string text = 1; nonsense", 1))
	k.waitFor(t, "not reloaded: krt.yml is not right:")
	k.waitFor(t, "public_input.proto (line 4)")
	k.write(t, "public_input.proto", strings.Replace(proto, "string text = 1;", "string text = 1; int32 more = 2;", 1))
	k.waitFor(t, "entrypoint  reloaded")
}

func TestAFileThatIsWrittenAllTheTimeIsNoSave(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/first", strings.Replace(ready, "sleep 0.02", "sleep 0.02; date >> dates.txt", 1))
	k := p.run(t)
	k.waitReady(t)
	k.waitFor(t, "dates.txt changes all the time and is no longer watched")
}

func TestNothingIsReloadedWithoutWatching(t *testing.T) {
	k := newProject(t).run(t, "--no-watch")
	k.waitReady(t)
	require.NotContains(t, k.stdout.String(), "watching")
}
