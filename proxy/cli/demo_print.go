package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A demoPrinter prints for people: with colour and a moving line on a terminal,
// and plain lines elsewhere.
type demoPrinter struct {
	paint
	w      io.Writer
	moving bool // a line may be written again
}

func newDemoPrinter(w io.Writer) *demoPrinter {
	moving := isTerminal(w) && os.Getenv("TERM") != "dumb" && terminalWidth(w) >= demoWidth
	return &demoPrinter{w: w, moving: moving, paint: paintFor(w)}
}

// demoWidth is what our lines fit into.
const demoWidth = 80

func (p *demoPrinter) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// opening says what is going to be compared.
func (p *demoPrinter) opening(stage *demoStage) {
	p.line("%s", p.style(styleBold, "A provider that misbehaves, in two copies, and the same calls made to each."))
	p.line("")
	p.line("  %-16s  an http.Client as it is often written: %d retries, %s", demoPlain, plainRetries, plainDelay)
	p.line("  %-16s  apart, after errors, 429 and 5xx, POST too; token read once", "")
	p.line("  %-16s  an http.Client without retry and without token; its base URL", demoOutrider)
	p.line("  %-16s  is %sNAME", "", stage.sides[1].base)
	p.line("  %-16s  http://%s/", "its live page", stage.sidecar.adminAt)
	p.line("")
}

// follow shows how a scene goes while play runs it.
func (p *demoPrinter) follow(scene demoScene, play func(demoGauges) (demoResult, error)) (demoResult, error) {
	gauges := demoGauges{new(demoGauge), new(demoGauge)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		if !p.moving {
			return
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprint(p.w, "\r"+p.sceneLine("·", scene, gauges))
			select {
			case <-tick.C:
			case <-stop:
				fmt.Fprint(p.w, "\r")
				return
			}
		}
	}()
	result, err := play(gauges)
	close(stop)
	<-stopped
	if err != nil {
		if p.moving {
			p.line("")
		}
		return result, err
	}
	mark := p.style(styleGood, "✓")
	if len(result.broken()) > 0 {
		mark = p.style(styleBad, "✗")
	}
	p.line("%s", p.sceneLine(mark, scene, gauges))
	return result, nil
}

// sceneLine is as wide at the beginning of a scene as at its end.
func (p *demoPrinter) sceneLine(mark string, scene demoScene, gauges demoGauges) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-12s", mark, scene.name)
	for i, name := range []string{"plain", "Outrider"} {
		done, failed := gauges[i].done.Load(), gauges[i].failed.Load()
		fmt.Fprintf(&b, "   %s %3d of %d, %s", name, done, scene.calls, p.bad(fmt.Sprintf("%2d", failed), failed > 0)+" failed")
	}
	return b.String()
}

// bad marks text as bad news, if it is.
func (p *demoPrinter) bad(text string, is bool) string {
	if is {
		return p.style(styleBad, text)
	}
	return text
}

// keeping says what can be looked at.
func (p *demoPrinter) keeping(stage *demoStage) {
	p.line("")
	p.line("Everything keeps running until Ctrl-C:")
	p.line("  page       http://%s/", stage.sidecar.adminAt)
	p.line("  provider   %s/", stage.sides[1].provider.url)
	p.line("  curl -id amount=1 '%spayments/charges?fail=after'", stage.sides[1].base)
}

// closing says where more is to be seen, once everything has ended.
func (p *demoPrinter) closing(stage *demoStage, kept bool) {
	p.line("")
	if !kept {
		p.line("The page ended with the demo; outrider demo --keep leaves it open.")
	}
	switch endpoint := tracesEndpoint(); {
	case endpoint == "":
		p.line("To see the traces in Jaeger:")
		p.line("  docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger")
		p.line("  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 outrider demo")
	case strings.Contains(stage.log.text(), "telemetry could not be exported"):
		p.line("Traces could not be sent to %s.", endpoint)
	default:
		p.line("The traces went to %s.", endpoint)
	}
}

// tracesEndpoint is where the environment sends traces to; "" for nowhere.
func tracesEndpoint() string {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	if exporter != "" && !strings.Contains(exporter, "otlp") || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return ""
	}
	if endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); endpoint != "" {
		return endpoint
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
}
