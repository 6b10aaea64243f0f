package process

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/krt/manifest"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// plan is what a version runs as: what runtime-api has prepared, and the programs of the nodes. It is kept as long as
// anything runs, so that processes are looked after although runtime-api or the broker is away.
type plan struct {
	digest   string
	made     made
	prepared *runtimev1.PrepareVersionResponse
	programs map[string]launch.Program // by key of the node
}

// made is what a plan was made by. A plan that another engine has made is made again: its nodes may want to be prepared and
// run in another way, and whatever is the platform's is that of the engine that runs.
type made struct {
	Format int    `json:"format"`
	Runner string `json:"runner"` // the platform's, and what it is made of
}

// planFormat is raised when nodes are to be prepared or run in another way. 2: Python nodes are workers of the runner.
// 3: several outputs of a run are a parcel.
const planFormat = 3

// madeNow is what plans are made by from now on.
func madeNow(libexec string) (made, error) {
	runner, err := launch.Runner(libexec)
	if err != nil {
		return made{}, fmt.Errorf("read the platform's runner: %w", err)
	}
	return made{Format: planFormat, Runner: runner.Path + " " + runner.Stamp}, nil
}

// planRecord is plan.json.
type planRecord struct {
	made
	Digest   string                    `json:"digest"`
	Prepared json.RawMessage           `json:"prepared"` // its own JSON; secret
	Programs map[string]launch.Program `json:"programs"`
}

func readPlan(file string) (*plan, error) {
	var record planRecord
	if err := readJSON(file, &record); err != nil {
		return nil, err
	}
	p := &plan{digest: record.Digest, made: record.made, prepared: new(runtimev1.PrepareVersionResponse), programs: record.Programs}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(record.Prepared, p.prepared); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	return p, nil
}

func (p *plan) write(file string) error {
	prepared, err := protojson.Marshal(p.prepared)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	return writeJSON(file, planRecord{made: p.made, Digest: p.digest, Prepared: prepared, Programs: p.programs})
}

func nodeKey(n *runtimev1.Node) string { return n.GetWorkflowId() + "." + n.GetId() }

// processes are those of the plan, the entrypoint first.
func (p *plan) processes() []processRecord {
	all := []processRecord{{Process: entrypoint, Node: "entrypoint"}}
	for _, n := range p.prepared.GetNodes() {
		for replica := range max(int(n.GetReplicas()), 1) {
			all = append(all, processRecord{
				Process: nodeKey(n) + "-" + strconv.Itoa(replica), Workflow: n.GetWorkflow(), Node: n.GetName(), Replica: replica,
			})
		}
	}
	return all
}

// called is what people call a process of the plan.
func (p *plan) called(process string) string {
	if process == entrypoint {
		return "the entrypoint"
	}
	all := p.processes()
	i := slices.IndexFunc(all, func(one processRecord) bool { return one.Process == process })
	if i < 0 {
		return process
	}
	name, replicas := "node "+all[i].Node, false
	for j, one := range all {
		switch {
		case i == j || one.Node != all[i].Node || one.Process == entrypoint:
		case one.Workflow != all[i].Workflow:
			name = "node " + all[i].Workflow + "/" + all[i].Node
		default:
			replicas = true
		}
	}
	if replicas {
		name += " (replica " + strconv.Itoa(all[i].Replica) + ")"
	}
	return name
}

// job is a process as it should be started.
type job struct {
	process string
	command launch.Command
	stamp   string
}

// jobs are the processes of a plan with the values of the record, the entrypoint first.
func (v *version) jobs(p *plan, record versionRecord, kept keptRecord) ([]job, error) {
	paths, err := v.writeFiles(record.Files)
	if err != nil {
		return nil, err
	}
	settings := launch.Settings{
		Package: v.rt.packageDir(p.digest), NATSURL: v.rt.c.o.NATSURL, Variables: record.Variables, Files: paths,
		Platform: v.rt.c.passed, LogLevel: v.rt.c.o.LogLevel, AllowedHosts: v.rt.c.o.AllowedHosts,
	}
	if p.prepared.GetNatsCredentials() != "" {
		settings.NATSCredentials = v.path(credsFile)
	}
	// Whether a process is what it should be does not depend on who asks, and from which terminal.
	bare := settings
	bare.Platform = map[string]string{}

	program := filepath.Join(v.rt.c.o.Libexec, "entrypoint")
	at := addressRecord{GRPC: ports.Address(ports.Loopback, kept.GRPCPort), HTTP: ports.Address(ports.Loopback, kept.HTTPPort)}
	command := settings.Entrypoint(p.prepared.GetEntrypoint(), program, at.GRPC, at.HTTP)
	maps.Copy(command.Env, v.rt.c.telemetry)
	command.Env["KRE_DRAIN_SECONDS"] = "1" // it is told to end when nobody waits there, or nobody may any more
	all := []job{{
		process: entrypoint,
		command: command,
		stamp:   bare.Entrypoint(p.prepared.GetEntrypoint(), program, at.GRPC, at.HTTP).Print(),
	}}
	for _, n := range p.prepared.GetNodes() {
		command, err := settings.Node(n, p.programs[nodeKey(n)])
		if err != nil {
			return nil, fault.New(fault.Precondition, "%s", err.Error())
		}
		print, err := bare.Node(n, p.programs[nodeKey(n)])
		if err != nil {
			return nil, err
		}
		stamp := print.Print(p.programs[nodeKey(n)].Stamp, contentStamp(n.GetConfigFiles(), record.Files))
		for replica := range max(int(n.GetReplicas()), 1) {
			all = append(all, job{process: nodeKey(n) + "-" + strconv.Itoa(replica), command: command, stamp: stamp})
		}
	}
	return all, nil
}

// contentStamp changes with the content of some configuration files.
func contentStamp(names []string, files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range names {
		one := sha256.Sum256(files[name])
		sum.Write([]byte(name + "\x00"))
		sum.Write(one[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// writeFiles lays down the configuration files, unless they are there as they should be.
func (v *version) writeFiles(files map[string][]byte) (map[string]string, error) {
	if v.filePaths != nil && maps.EqualFunc(files, v.filesWritten, bytes.Equal) {
		return v.filePaths, nil
	}
	paths, err := launch.WriteFiles(v.path(filesDir), files)
	if err != nil {
		return nil, err
	}
	v.filesWritten, v.filePaths = files, paths
	return paths, nil
}

// prepare makes the plan of a version: its package here, what it needs at the broker, and the programs of its nodes.
func (v *version) prepare(ctx context.Context, record versionRecord) (*plan, error) {
	api, err := v.rt.runtimeAPI()
	if err != nil {
		return nil, err
	}
	v.setDoing("its package is being fetched")
	root, err := v.rt.fetchPackage(ctx, api, v.name, record.Digest)
	if err != nil {
		return nil, err
	}
	v.setDoing("it is being prepared")
	prepared, err := v.prepareAtBroker(ctx, api, root)
	if err != nil {
		return nil, fmt.Errorf("prepare the version: %w", err)
	}
	if prepared.GetVersion() != v.name {
		return nil, fault.New(fault.Precondition, "the package %s is that of version %s", record.Digest, prepared.GetVersion())
	}
	p := &plan{digest: record.Digest, prepared: prepared}
	if p.made, err = v.rt.c.made(); err != nil {
		return nil, err
	}
	if p.programs, err = v.programs(ctx, root, prepared); err != nil {
		return nil, err
	}
	if err := v.layDown(p); err != nil {
		return nil, err
	}
	return p, nil
}

// prepareAgain makes what a version needs at the broker once more, where its processes do not become ready: it may have
// been lost.
func (v *version) prepareAgain(ctx context.Context) error {
	v.rt.mu.Lock()
	current, stuck := v.plan, false
	for _, p := range v.parts {
		stuck = stuck || p.failed() && p.record().Unready
	}
	if v.preparedAt.IsZero() { // another program has
		v.preparedAt = time.Now()
	}
	due := time.Since(v.preparedAt) >= v.rt.c.o.PrepareAgain
	v.rt.mu.Unlock()
	if !stuck || !due {
		return nil
	}
	api, err := v.rt.runtimeAPI()
	if err != nil {
		return err
	}
	prepared, err := v.prepareAtBroker(ctx, api, v.rt.packageDir(current.digest))
	if err != nil {
		return fmt.Errorf("prepare the version again: %w", err)
	}
	v.loop.poke() // what was prepared may be something else than before
	again := *current
	again.prepared = prepared
	return v.layDown(&again)
}

// prepareAtBroker has made what the version needs at the broker, by the manifest in the unpacked package.
func (v *version) prepareAtBroker(ctx context.Context, api RuntimeAPI, root string) (*runtimev1.PrepareVersionResponse, error) {
	manifest, files, err := readManifest(root)
	if err != nil {
		return nil, err
	}
	keys, err := v.keys()
	if err != nil {
		return nil, err
	}
	return api.Prepare(ctx, &runtimev1.PrepareVersionRequest{Manifest: manifest, PackageFiles: files, BrokerKeys: keys})
}

// layDown writes what the processes of the plan read, and the plan itself last, which is the version's from then on.
func (v *version) layDown(p *plan) error {
	if creds := p.prepared.GetNatsCredentials(); creds != "" {
		if err := launch.WriteCredentials(v.path(credsFile), []byte(creds)); err != nil {
			return err
		}
	}
	for _, dir := range []string{stateDir, logsDir, processesDir} {
		if err := os.MkdirAll(v.path(dir), 0o700); err != nil {
			return fmt.Errorf("make a directory of the version: %w", err)
		}
	}
	if err := v.keepPorts(); err != nil {
		return err
	}
	err := v.keep(func(k *keptRecord) { k.Counted, k.Stored, k.RanDigest = false, 0, p.digest })
	if err != nil {
		return err
	}
	if err := writeJSON(v.path(nodesFile), nodesRecord{Processes: p.processes()}); err != nil {
		return err
	}
	if err := p.write(v.path(planFile)); err != nil {
		return err
	}
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	v.plan, v.preparedAt = p, time.Now()
	return nil
}

// keepPorts gives the entrypoint ports, if it has none.
func (v *version) keepPorts() error {
	v.rt.mu.Lock()
	has := v.kept.GRPCPort != 0
	v.rt.mu.Unlock()
	if has {
		return nil
	}
	grpc, err := v.rt.c.ports.pick()
	if err != nil {
		return err
	}
	http, err := v.rt.c.ports.pick()
	if err != nil {
		v.rt.c.ports.giveBack(grpc)
		return err
	}
	err = v.keep(func(k *keptRecord) { k.GRPCPort, k.HTTPPort = grpc, http })
	if err != nil {
		v.rt.c.ports.giveBack(grpc, http)
	}
	return err
}

// programs makes ready what runs the nodes, one after the other: they mostly share an environment, and a machine.
func (v *version) programs(ctx context.Context, root string, prepared *runtimev1.PrepareVersionResponse) (map[string]launch.Program, error) {
	programs := make(map[string]launch.Program)
	for _, n := range prepared.GetNodes() {
		program, err := launch.PackageProgram(ctx, root, n, launch.PackageOptions{
			Libexec: v.rt.c.o.Libexec, Python: v.rt.c.o.Python, Cache: v.rt.c.o.Cache,
			Say: func(text string) { v.setDoing("node " + n.GetName() + ": " + text) },
		})
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.GetName(), err)
		}
		programs[nodeKey(n)] = program
	}
	return programs, nil
}

// readManifest reads the manifest of an unpacked package, and names the files that it asks for.
func readManifest(root string) (*runtimev1.Manifest, []string, error) {
	fsys := os.DirFS(root)
	file, err := manifest.Find(fsys)
	if err != nil {
		return nil, nil, fmt.Errorf("read the package: %w", err)
	}
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, nil, fmt.Errorf("read the package: %w", err)
	}
	m, problems, err := manifest.Load(manifest.Package(fsys), file)
	if err = cmp.Or(err, problems.Err()); err != nil {
		return nil, nil, fmt.Errorf("read the package: %w", err)
	}
	var files []string
	if m.Proto != "" {
		files = append(files, m.Proto)
	}
	for _, w := range m.Workflows {
		for _, n := range w.Nodes {
			files = append(files, n.Src)
		}
	}
	slices.Sort(files)
	return &runtimev1.Manifest{FileName: file, Content: content}, slices.Compact(files), nil
}

// forgetPlan says that nothing runs any more. What only processes needed is gone then, the values of configuration files above all.
func (v *version) forgetPlan() error {
	v.filesWritten, v.filePaths = nil, nil
	if err := os.RemoveAll(v.path(filesDir)); err != nil {
		return fmt.Errorf("remove the configuration files: %w", err)
	}
	if err := os.Remove(v.path(planFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget how the version ran: %w", err)
	}
	v.rt.mu.Lock()
	defer v.rt.mu.Unlock()
	v.plan = nil
	return nil
}
