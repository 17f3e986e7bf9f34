package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// A demo is one run of outrider demo: a provider that misbehaves, and the same
// calls made to it twice at the same time, by a client as it is often written
// and through Outrider. What it prints was measured in this very run.
type demo struct {
	out      io.Writer // the result
	progress io.Writer // what happens meanwhile
	scenes   []demoScene
	json     bool
	keep     bool
}

func (c *commands) demoCommand() *cobra.Command {
	keep := false
	command := &cobra.Command{
		Use:   "demo",
		Short: "Show, in some 20 seconds, what Outrider does for calls to a provider that misbehaves",
		Long: "demo runs a misbehaving provider and an Outrider, both on free ports of this machine, and makes\n" +
			"the same calls twice at the same time: with a client as it is often written, and through Outrider.\n" +
			"It ends with 0 if Outrider kept its promises, and with 1 if not. It reads no configuration file.",
		Example: "  outrider demo\n  outrider demo --keep   # and have a look at the page\n" +
			"  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 outrider demo",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := demo{out: c.Stdout, progress: c.Stdout, scenes: demoScenes(demoFull), json: c.json, keep: keep}
			if d.json {
				d.progress = ifTerminal(c.Stderr)
			}
			return d.run(cmd.Context())
		},
	}
	command.Flags().BoolVar(&keep, "keep", false, "keep provider, sidecar and page running until Ctrl-C")
	return command
}

// ifTerminal is w if somebody is looking at it.
func ifTerminal(w io.Writer) io.Writer {
	if isTerminal(w) {
		return w
	}
	return io.Discard
}

// run plays every scene and reports. Its error says what did not hold.
func (d *demo) run(ctx context.Context) (err error) {
	stage, err := openStage(ctx, d.scenes)
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, stage.close(ctx))
		}
	}()

	live := newDemoPrinter(d.progress)
	live.opening(stage)
	var results []demoResult
	for _, scene := range d.scenes {
		result, err := live.follow(scene, func(gauges demoGauges) (demoResult, error) {
			return stage.play(ctx, scene, gauges)
		})
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	report := newDemoReport(stage, results)

	if err := d.print(report); err != nil {
		return err
	}
	if d.keep {
		live.keeping(stage)
		<-ctx.Done()
	}
	open = false
	if err := stage.close(ctx); err != nil {
		return err
	}
	live.closing(stage, d.keep)
	return d.verdict(report, stage)
}

func (d *demo) print(report demoReport) error {
	if d.json {
		return (&commands{Process: Process{Stdout: d.out}}).printJSON(report)
	}
	newDemoPrinter(d.out).report(report)
	return nil
}

// verdict is an error if a promise did not hold; what Outrider had to say about
// it is then kept in a file.
func (d *demo) verdict(report demoReport, stage *demoStage) error {
	if report.Held {
		return nil
	}
	var broken []string
	for _, scene := range report.Scenes {
		broken = append(broken, scene.Broken...)
	}
	where := ""
	if name, err := stage.log.save(); err == nil {
		where = "\nOutrider's warnings are in " + name
	}
	return fmt.Errorf("not every promise held:\n  %s%s", strings.Join(broken, "\n  "), where)
}

// save keeps the log in a file, and names it.
func (l *demoLog) save() (string, error) {
	f, err := os.CreateTemp("", "outrider-demo-*.log")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(l.text())
	return f.Name(), errors.Join(err, f.Close())
}
