package main

import (
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

// TestReadmeConfigurationsParse does the same for what the README shows.
func TestReadmeConfigurationsParse(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced(string(data), "toml")
	if len(blocks) == 0 {
		t.Fatal("README.md shows no configuration")
	}
	for _, block := range blocks {
		parses(t, "README.md", block)
	}
}

// TestReadmeListsEveryPreset keeps its list equal to what there is.
func TestReadmeListsEveryPreset(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\nThere are `anthropic`")
	list, _, found := strings.Cut("`anthropic`"+rest, ". ")
	if !found {
		t.Fatal("README.md has no list of presets")
	}
	var listed []string
	for _, match := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(list, -1) {
		listed = append(listed, match[1])
	}
	if want := preset.Names(); !slices.Equal(listed, want) {
		t.Errorf("README.md lists %q, there are %q", listed, want)
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
