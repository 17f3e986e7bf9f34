// Package process starts the programs that are measured, and ends every one of them.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"outrider/bench/machine"
)

// Anywhere is the Core of a process that runs where we do.
const Anywhere = -1

// A Spec says what is started.
type Spec struct {
	Args   []string // the program, and what follows
	Env    []string // besides our own environment
	Core   int      // which processor it is pinned to, or Anywhere
	Output string   // file of its standard output and error
}

// A Process is a program that runs, with the processes that it started itself.
type Process struct {
	spec  Spec
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// Start starts a program in a process group of its own, so that an interrupt from the
// terminal reaches us alone. It is told to end when we are gone, however that came.
func Start(spec Spec) (*Process, error) {
	args := spec.Args
	if spec.Core >= 0 {
		args = append([]string{"taskset", "-c", strconv.Itoa(spec.Core)}, args...)
	}
	output, err := os.Create(spec.Output)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Args[0], err)
	}
	p := &Process{spec: spec, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is of interest only while somebody waits for an answer
		close(p.ended)
	}()
	return p, nil
}

// Stop asks the process to end, and after 5 seconds makes it.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// Answers waits until a GET of url is answered with 200, for 20 seconds at most.
func (p *Process) Answers(ctx context.Context, url string) error {
	return p.ready(ctx, func() error {
		resp, err := http.Get(url) //nolint:gosec // a URL of ours
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}

// Listens waits until address can be connected to, for 20 seconds at most.
func (p *Process) Listens(ctx context.Context, address string) error {
	return p.ready(ctx, func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (p *Process) ready(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.failed(errors.New("it ended"))
		case <-ctx.Done():
			return p.failed(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// failed adds the end of what the program printed.
func (p *Process) failed(err error) error {
	printed, _ := os.ReadFile(p.spec.Output)
	return fmt.Errorf("%s: %w: %s", p.spec.Args[0], err, printed[max(0, len(printed)-2000):])
}

// CPU is the processor time that the process and its children have used.
func (p *Process) CPU() (time.Duration, error) {
	used, err := p.sum(func(pid int) (int64, error) {
		used, err := machine.CPU(pid)
		return int64(used), err
	})
	return time.Duration(used), err
}

// Resident is the memory of the process and its children, in bytes. What they share
// counts for each.
func (p *Process) Resident() (int64, error) { return p.sum(machine.Resident) }

// FileBacked is how much of it are pages of files, in bytes.
func (p *Process) FileBacked() (int64, error) { return p.sum(machine.FileBacked) }

// Peak is the most memory that they had since ResetPeak, in bytes.
func (p *Process) Peak() (int64, error) { return p.sum(machine.Peak) }

// ResetPeak has Peak begin anew.
func (p *Process) ResetPeak() error {
	_, err := p.sum(func(pid int) (int64, error) { return 0, machine.ResetPeak(pid) })
	return err
}

func (p *Process) sum(of func(pid int) (int64, error)) (int64, error) {
	family, err := machine.Family(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, pid := range family {
		one, err := of(pid)
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}
