package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cachectl/cachectl"

// A rule says what a package may import: of ours, and of others. A name that
// ends in "/..." stands for everything below it.
type rule struct {
	why    string
	ours   []string
	others []string
}

// rules is the floor plan of docs/design.md. The first that fits a package counts.
var rules = []struct {
	pkg string
	rule
}{
	{"cmd/cachectl", rule{"main is wiring only", []string{"commands", "backends/...", "purge", "purge/cloudfront", "purge/cloudflare", "purge/varnish"}, []string{"golang.org/x/term"}}},
	{"commands/render", rule{"render knows formats, and nothing about caches", nil,
		[]string{"github.com/itchyny/gojq", "go.yaml.in/yaml/v3", "github.com/clipperhouse/displaywidth", "github.com/dustin/go-humanize"}}},
	{"commands/journal", rule{"a journal knows pages and results, and no command", []string{"backends"}, nil}},
	{"commands", rule{"commands join streams, folds and render; which backend serves a URL, and who is the CDN of a name, is main's to say",
		[]string{"backends", "backends/archive", "backends/source", "purge", "analyze/...", "loadgen/...", "commands/render", "commands/journal"},
		[]string{"github.com/spf13/cobra", "github.com/spf13/pflag", "go.yaml.in/yaml/v3", "github.com/dustin/go-humanize", "github.com/schollz/progressbar/v3", "golang.org/x/time/rate"}}},
	{"analyze/accumtest", rule{"tests of accumulators", []string{"analyze"}, []string{"github.com/google/go-cmp/cmp"}}},
	{"analyze/decode", rule{"decode makes bytes readable, wherever they come from", nil,
		[]string{"github.com/klauspost/compress/...", "github.com/vmihailenco/msgpack/v5/..."}}},
	{"analyze/httpcache", rule{"what a cache serves is judged by what it said: no clients, nothing of ours", nil, nil}},
	{"analyze/...", rule{"a finding is pure: no clients, no formats", []string{"backends", "analyze/..."}, nil}},
	{"backends/backendtest/servers", rule{"servers for tests know nothing of us", nil, nil}},
	{"backends/backendtest", rule{"the conformance suite knows the contracts only", []string{"backends"}, nil}},
	{"loadgen/theory", rule{"theory is mathematics: it knows nothing of how anything is measured", nil, nil}},
	{"loadgen/fleet", rule{"the application in front of a cache knows traffic and caches, not servers", []string{"loadgen", "backends"},
		[]string{"golang.org/x/sync/..."}}},
	{"loadgen", rule{"load generation knows contracts and a histogram, not servers", []string{"backends"},
		[]string{"github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys/unix"}}},
	{"backends/redis", rule{"a backend knows its parent and its one client; siblings never import one another", []string{"backends"},
		[]string{"github.com/redis/go-redis/v9/..."}}},
	{"backends/memcached", rule{"a backend knows its parent and its one client; siblings never import one another", []string{"backends"},
		[]string{"github.com/bradfitz/gomemcache/memcache"}}},
	{"bench", rule{"measurements are tests and import what they measure there", nil, nil}},
	{"backends/archive", rule{"the backup file knows records, and no cache", []string{"backends"},
		[]string{"github.com/klauspost/compress/zstd"}}},
	{"backends/source", rule{"a source knows records, its own driver, and no cache", []string{"backends", "backends/archive"},
		[]string{"github.com/klauspost/compress/gzip", "github.com/klauspost/compress/zstd", "github.com/jackc/pgx/v5/..."}}},
	{"backends/embedded", rule{"the embedded server is a server, not a backend: main joins it with the redis client", nil,
		[]string{"github.com/alicebob/miniredis/v2/..."}}},
	{"purge/purgetest", rule{"the APIs for tests know nothing of us", nil, nil}},
	{"purge/cloudfront", rule{"a CDN knows its parent and its one client; siblings never import one another", []string{"purge"},
		[]string{"github.com/aws/aws-sdk-go-v2/...", "github.com/aws/smithy-go/..."}}},
	{"purge/cloudflare", rule{"a CDN knows its parent and its one client, of which the root package takes minutes to compile", []string{"purge"},
		[]string{"github.com/cloudflare/cloudflare-go/v7/cache", "github.com/cloudflare/cloudflare-go/v7/option", "github.com/cloudflare/cloudflare-go/v7/zones"}}},
	{"purge/varnish", rule{"a CDN knows its parent; Varnish needs no client but net/http", []string{"purge"}, nil}},
	{"purge", rule{"the contracts of CDNs, and the run over them, import the standard library only", nil, nil}},
	{"backends", rule{"the contracts import the standard library only", nil, nil}},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

// TestImportRule holds every package against the floor plan.
func TestImportRule(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		at := slices.IndexFunc(rules, func(r struct {
			pkg string
			rule
		}) bool {
			return covers(r.pkg, name)
		})
		if at < 0 {
			t.Errorf("%s has no place in the floor plan: add a rule for it, and say in docs/design.md what it is", p.ImportPath)
			continue
		}
		r := rules[at]
		for _, imported := range p.Imports {
			if !allowed(r.rule, imported) {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why)
			}
		}
	}
}

func allowed(r rule, imported string) bool {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.ContainsFunc(r.ours, func(p string) bool { return covers(p, ours) })
	}
	first, _, _ := strings.Cut(imported, "/")
	standard := !strings.Contains(first, ".")
	return standard || slices.ContainsFunc(r.others, func(p string) bool { return covers(p, imported) })
}

func covers(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	return name == pattern
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

// TestNoPackageOfAllThings refuses names that say nothing.
func TestNoPackageOfAllThings(t *testing.T) {
	for _, p := range listPackages(t) {
		name := p.ImportPath[strings.LastIndexByte(p.ImportPath, '/')+1:]
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "core", "shared", "manager"}, name) {
			t.Errorf("%s: a package is named for what it provides", p.ImportPath)
		}
	}
}

// TestNoCloudflareRoot: the root package of cloudflare-go stays out of the
// build, by whatever way it might come in. It alone takes minutes and 1.5 GB
// to compile, and doubles the binary.
func TestNoCloudflareRoot(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "github.com/cloudflare/cloudflare-go/v7/cache") {
		t.Error("cloudflare-go is not in the build: is this test still needed?")
	}
	if slices.Contains(deps, "github.com/cloudflare/cloudflare-go/v7") {
		t.Error("the root package of cloudflare-go is in the build: import its sub-packages only")
	}
}
