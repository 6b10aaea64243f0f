package proc

import (
	"fmt"
	"os"
	"slices"
)

// launch starts the program and, unless it is detached, the reading of what it prints.
func (p *Process) launch() (*child, error) {
	if p.spec.Detached != nil {
		return p.launchDetached()
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer closeAll(outWrite)
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		closeAll(outRead)
		return nil, err
	}
	defer closeAll(errWrite)
	c, err := p.execute(&os.ProcAttr{Files: []*os.File{nil, outWrite, errWrite}, Sys: sysProcAttr()})
	if err != nil {
		closeAll(outRead, errRead)
		return nil, err
	}
	c.guard = p.super.guard
	c.read(outRead, p.spec.MaxLine, func(text string, cut int) { p.printed(text, cut, false) })
	c.read(errRead, p.spec.MaxLine, func(text string, cut int) { p.printed(text, cut, true) })
	go c.wait()
	return c, nil
}

// launchDetached starts the program with its output in a file and the lock that it holds as long as it runs.
func (p *Process) launchDetached() (*child, error) {
	d := p.spec.Detached
	run, err := vacate(p.over, d.StateFile+".run")
	if err != nil {
		return nil, err
	}
	defer closeAll(run) // the process has it still
	if err := makeFolder(d.LogFile); err != nil {
		return nil, fmt.Errorf("its log cannot be written: %w", err)
	}
	log, err := os.OpenFile(d.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("its log cannot be written: %w", err)
	}
	defer closeAll(log)
	info, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("its log cannot be written: %w", err)
	}
	c, err := p.execute(&os.ProcAttr{Files: []*os.File{nil, log, log, run}, Sys: detachedAttr()})
	if err != nil {
		return nil, err
	}
	start, _, err := startOf(c.pid)
	if err != nil {
		start = 0 // whoever reads the record does not find the process by it, and kills it by its lock
	}
	p.mu.Lock()
	p.record.PIDStart, p.record.LogFrom = start, info.Size()
	p.mu.Unlock()
	go c.wait()
	return c, nil
}

// execute starts the program; the first file becomes an empty standard input.
func (p *Process) execute(attr *os.ProcAttr) (*child, error) {
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer closeAll(stdin)
	attr.Files[0] = stdin
	attr.Dir, attr.Env = p.spec.Dir, p.spec.Env
	if attr.Env == nil {
		attr.Env = []string{} // nil would mean our own
	}
	argv := slices.Concat([]string{p.spec.Path}, p.spec.Args)
	process, err := p.super.startProcess(p.spec.Path, argv, attr, p.spec.Detached == nil)
	if err != nil {
		return nil, explain(p.spec.Path, err)
	}
	return &child{pid: process.Pid, process: process, ended: make(chan *os.ProcessState, 1)}, nil
}

func (p *Process) printed(text string, cut int, stderr bool) {
	p.mu.Lock()
	p.tail.add(text)
	p.mu.Unlock()
	p.feed.line(Line{Name: p.spec.Name, Stderr: stderr, Text: text, Cut: cut})
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // reading ends or the descriptor goes to the child; nothing to be done about a failure
	}
}
