package main

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outrider/policy/config"
	"outrider/policy/preset"
)

// TestExampleConfigurationsParse keeps the files that people copy from rotting.
func TestExampleConfigurationsParse(t *testing.T) {
	files, err := filepath.Glob("examples/config/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no example found: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		parses(t, path, string(data))
	}
}

// TestDocumentedConfigurationsParse does the same for what the README and its further
// chapters show.
func TestDocumentedConfigurationsParse(t *testing.T) {
	shown := 0
	for path, text := range documents(t) {
		for _, block := range fenced(text, "toml") {
			parses(t, path, block)
			shown++
		}
	}
	if shown < 10 {
		t.Errorf("only %d configurations are shown", shown)
	}
}

// TestDocumentsLeadSomewhere follows the links between them: to a file, and to a heading
// in it.
func TestDocumentsLeadSomewhere(t *testing.T) {
	texts := documents(t)
	link := regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	for path, text := range texts {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			target := path
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(path), found[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
			} else if found[2] != "" && !slices.Contains(anchors(texts[target]), found[2]) {
				t.Errorf("%s links to #%s, which %s does not have", path, found[2], target)
			}
		}
	}
}

// documents maps path → text, of the README and of its chapters in docs.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no chapter found: %v", err)
	}
	texts := make(map[string]string)
	for _, path := range append(paths, "README.md") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(data)
	}
	return texts
}

// anchors are what links call the headings of a document.
func anchors(text string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// TestEveryPresetIsDocumented keeps the list in its chapter equal to what there is.
func TestEveryPresetIsDocumented(t *testing.T) {
	const path = "docs/presets.md"
	_, rest, _ := strings.Cut(documents(t)[path], "\nThere are `anthropic`")
	list, _, found := strings.Cut("`anthropic`"+rest, ". ")
	if !found {
		t.Fatal(path + " has no list of presets")
	}
	var listed []string
	for _, match := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(list, -1) {
		listed = append(listed, match[1])
	}
	if want := preset.Names(); !slices.Equal(listed, want) {
		t.Errorf("%s lists %q, there are %q", path, listed, want)
	}
}

// TestKubernetesConfigurationParses reads the one inside the ConfigMap.
func TestKubernetesConfigurationParses(t *testing.T) {
	const path = "examples/kubernetes.yaml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "  config.toml: |\n")
	if !found {
		t.Fatal("there is no config.toml in " + path)
	}
	var document strings.Builder
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "    ") && strings.TrimSpace(line) != "" {
			break
		}
		document.WriteString(strings.TrimPrefix(line, "    "))
	}
	parses(t, path, document.String())
}

// TestComposeFileAgreesWithItsConfiguration follows the names that lead from one container to
// another, as far as that can be done without starting them.
func TestComposeFileAgreesWithItsConfiguration(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	compose := read("examples/compose.yaml")
	services := map[string]string{} // service → its block
	_, rest, _ := strings.Cut(compose, "\nservices:\n")
	rest, _, _ = strings.Cut(rest, "\nvolumes:\n")
	for _, found := range regexp.MustCompile(`(?m)^  ([a-z]+):\n((?:(?:    .*)?\n)*)`).FindAllStringSubmatch(rest, -1) {
		services[found[1]] = found[2]
	}
	file, err := config.Parse("compose.toml", []byte(read("examples/config/compose.toml")))
	if err != nil {
		t.Fatal(err)
	}

	endpoint, err := url.Parse(file.Telemetry.Endpoint)
	if err != nil || services[endpoint.Hostname()] == "" || endpoint.Port() != "4318" { // OTLP by HTTP
		t.Errorf("spans go to %s, and there are %q", file.Telemetry.Endpoint, slices.Collect(maps.Keys(services)))
	}
	provider := file.Upstreams[0]
	if block := services[provider.URL.Hostname()]; !strings.Contains(block, `0.0.0.0:`+provider.URL.Port()+`"`) {
		t.Errorf("calls go to %s, and there is\n%s", provider.URL, block)
	}
	for _, base := range []string{"http://127.0.0.1:8080/" + provider.Name, "https://" + provider.Hosts[0]} {
		if !strings.Contains(services["app"], base) {
			t.Errorf("the application does not call %s", base)
		}
	}
	// The Jaeger that the tests run (.ci/run) is of the image's version.
	if !strings.Contains(services["jaeger"], "jaegertracing/jaeger:2.13.0") || !strings.Contains(read(".ci/run"), "v2.13.0") {
		t.Error("the image of Jaeger is of another version than the one of the tests")
	}
	for _, path := range regexp.MustCompile(`(?m)(?:- |file: )(\./[^:\s]+)`).FindAllStringSubmatch(compose, -1) {
		if _, err := os.Stat(filepath.Join("examples", path[1])); err != nil {
			t.Error(err)
		}
	}
}

// parses holds a document to what people are told to write: no error, and no
// secret in plain.
func parses(t *testing.T, name, document string) {
	t.Helper()
	file, err := config.Parse(name, []byte(document))
	if err != nil {
		t.Errorf("%v\nin\n%s", err, document)
		return
	}
	for _, warning := range file.Warnings {
		t.Errorf("%s: %s", name, warning)
	}
	if len(file.Upstreams) == 0 {
		t.Errorf("%s: no upstream in\n%s", name, document)
	}
}

// fenced returns the code blocks of a language in a Markdown text.
func fenced(markdown, language string) (blocks []string) {
	var block strings.Builder
	inside := false
	for line := range strings.Lines(markdown) {
		switch mark := strings.TrimSpace(line); {
		case !inside && mark == "```"+language:
			inside = true
			block.Reset()
		case inside && mark == "```":
			inside = false
			blocks = append(blocks, block.String())
		case inside:
			block.WriteString(line)
		}
	}
	return blocks
}
