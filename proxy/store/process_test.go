package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// childVariable makes the test binary a process of one of the tests below; its
// last arguments say which: what, dir, URL, count, and for some a step.
const childVariable = "OUTRIDER_TEST_STORE_CHILD"

// child is that process.
func child(args []string) int {
	settings := store.Settings{Dir: args[1], URL: args[2]} // which makes the key file, too
	count, err := strconv.Atoi(args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := work(args[0], settings, count, args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(what string, settings store.Settings, count int, step string) error {
	ctx := context.Background()
	opened, err := store.Open(ctx, settings)
	if err != nil {
		return err
	}
	defer opened.Close()
	for i := range count {
		switch what {
		case "save":
			if err := opened.Slot(strconv.Itoa(i%7)).Save(ctx, []byte(strconv.Itoa(i))); err != nil {
				return err
			}
			fmt.Println(i) // acknowledged
		case "increment":
			if err := increment(ctx, opened.Slot("counter")); err != nil {
				return err
			}
		case "hold":
			if _, err := opened.Slot("counter").Lock(ctx); err != nil {
				return err
			}
			fmt.Println(i)
			time.Sleep(time.Hour) // until it is killed
		case "claim":
			if err := claimAndStay(ctx, opened.Outbox()); err != nil {
				return err
			}
		case "keep":
			if err := keepForever(ctx, opened.Outbox(), step); err != nil {
				return err
			}
		case "rekey":
			_, err := opened.RekeyBy(ctx, nil, func(done string) {
				if done == step {
					fmt.Println(done)
					time.Sleep(time.Hour) // until it is killed
				}
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts a child, and gives what it prints.
func start(t *testing.T, what string, s store.Settings, count int, step string) (*exec.Cmd, io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, "-test.run=^$", what, s.Dir, s.URL, strconv.Itoa(count), step)
	command.Env = append(os.Environ(), childVariable+"=1")
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, output
}

// TestKilledProcessKeepsWhatItAcknowledged kills one that saves, at different
// moments, and finds every slot at the last value that was acknowledged, or at
// the one that was being saved.
func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		for round := range 5 {
			command, output := start(t, "save", s, 1_000_000, "")
			lines := bufio.NewScanner(output)
			last := -1
			for lines.Scan() {
				n, err := strconv.Atoi(lines.Text())
				if err != nil || n != last+1 {
					t.Fatalf("after %d it printed %q", last, lines.Text())
				}
				if last = n; last == 50+37*round {
					_ = command.Process.Kill() // and what is in the pipe was acknowledged, too
				}
			}
			_ = command.Wait() // killed
			opened := open(t, keyless(s))
			for n := last - 6; n <= last; n++ {
				wantKeptOneOf(t, opened, strconv.Itoa(n%7), strconv.Itoa(n), last)
			}
		}
	})
}

// TestProcessKilledWhileItOpensLeavesAStoreThatOpens kills one at many moments of
// making the file, the schema and the key.
func TestProcessKilledWhileItOpensLeavesAStoreThatOpens(t *testing.T) {
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) {
			for round := range 12 {
				s := keyless(fresh(t))
				command, _ := start(t, "save", s, 0, "")
				killing := time.AfterFunc(time.Duration(round)*8*time.Millisecond, func() { _ = command.Process.Kill() })
				_ = command.Wait() // killed, or done
				killing.Stop()
				seed(t, s)
				wantKept(t, open(t, s), "a/b", canary)
			}
		})
	}
}

// wantKeptOneOf lets the slot after the last one be one round ahead.
func wantKeptOneOf(t *testing.T, opened *store.Store, id, want string, last int) {
	t.Helper()
	data, err := opened.Slot(id).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data); got != want && got != strconv.Itoa(last+1) {
		t.Errorf("slot %s keeps %q, acknowledged was %q", id, got, want)
	}
}

// TestProcessesThatIncrementLoseNothing: they start at once, on a directory in
// which there is nothing, so that they agree on a schema and a key as well.
func TestProcessesThatIncrementLoseNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		const processes, each = 3, 25
		var commands []*exec.Cmd
		for range processes {
			command, _ := start(t, "increment", s, each, "")
			commands = append(commands, command)
		}
		for _, command := range commands {
			if err := command.Wait(); err != nil {
				t.Error(err)
			}
		}
		wantKept(t, open(t, keyless(s)), "counter", strconv.Itoa(processes*each))
	})
}

// TestKilledHolderIsNotWaitedFor: whoever comes after a kill has calls that wait. Where
// the system tells that the holder's process has ended, its lease is over; elsewhere it
// lasts to its end.
func TestKilledHolderIsNotWaitedFor(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		command, output := start(t, "hold", s, 1, "")
		if !bufio.NewScanner(output).Scan() {
			t.Fatal("the child did not lock")
		}
		opened := open(t, keyless(s))
		slot := opened.Slot("counter")
		if buried, err := slot.Bury(t.Context()); buried || err != nil {
			t.Errorf("while it lives: buried %v, %v", buried, err)
		}
		_ = command.Process.Kill()
		_ = command.Wait() // killed
		if taken, err := slot.Abandon(t.Context(), 0); taken || err != nil {
			t.Errorf("its lease is lost: %v", err)
		}
		if !opened.HasWitness() {
			if err := slot.Age(t.Context(), store.Lease); err != nil {
				t.Fatal(err)
			}
		}
		lock(t, slot)()
	})
}

// claimAndStay claims a letter, has it depart, and is killed.
func claimAndStay(ctx context.Context, o *store.Outbox) error {
	holder, err := o.Hold(ctx)
	if err != nil {
		return err
	}
	claimed, err := holder.Claim(ctx, "crm/default", 1)
	if err != nil || len(claimed) != 1 {
		return fmt.Errorf("claimed %d, %w", len(claimed), err)
	}
	if err := holder.Depart(ctx, claimed[0].ID); err != nil {
		return err
	}
	fmt.Println(claimed[0].ID)
	time.Sleep(time.Hour) // until it is killed
	return nil
}

// keepForever has eight keep letters, and some of them arrive in pieces, until it is killed.
// Each that is acknowledged is printed.
func keepForever(ctx context.Context, o *store.Outbox, prefix string) error {
	var keeping sync.WaitGroup
	for worker := range 8 {
		keeping.Go(func() {
			for n := 0; ; n++ {
				size := 100
				if n%5 == 4 {
					size = 700 << 10
				}
				receipt, err := o.Keep(ctx, letter(fmt.Sprintf("%s/%d/%06d", prefix, worker, n)), strings.NewReader(strings.Repeat("x", size)), store.Bounds{})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Println(receipt.ID)
			}
		})
	}
	keeping.Wait()
	return nil
}

// TestKilledProcessHasKeptWhatItAcknowledged kills one that keeps letters, at different
// moments: all that it told of are there, whole; and what was arriving is swept.
func TestKilledProcessHasKeptWhatItAcknowledged(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		for round := range 4 {
			command, output := start(t, "keep", s, 1, fmt.Sprint(round))
			lines := bufio.NewScanner(output)
			var told []string
			for lines.Scan() {
				if told = append(told, lines.Text()); len(told) == 20+17*round {
					_ = command.Process.Kill() // and what is in the pipe was acknowledged, too
				}
			}
			_ = command.Wait() // killed
			opened := open(t, keyless(s))
			o := opened.Outbox()
			for _, id := range told {
				if l := get(t, o, id); string(l.Head) != "head of "+id || l.State != store.Waiting || int64(len(body(t, o, id))) != l.BodySize {
					t.Errorf("%s was acknowledged, and is %+v", id, l)
				}
			}
			if !opened.HasWitness() {
				must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET due = 1 WHERE state = 'arriving'`))
			}
			if _, err := o.Sweep(t.Context(), store.SweepSettings{}); err != nil {
				t.Error(err)
			}
			counts, err := o.Counts(t.Context())
			if err != nil || len(counts) != 1 || counts[0].State != store.Waiting || counts[0].Letters < len(told) {
				t.Errorf("after %d acknowledged in round %d there are %+v, %v", len(told), round, counts, err)
			}
			wantTallied(t, opened)
		}
	})
}
