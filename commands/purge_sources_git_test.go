package commands

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A testRepo is a repository of the git program here.
type testRepo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) *testRepo {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "config"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	// Settings that a user may have, and that must not change what is read.
	r := &testRepo{t, t.TempDir()}
	os.WriteFile(os.Getenv("GIT_CONFIG_GLOBAL"), []byte("[user]\nname=a\nemail=a@example.com\n[diff]\nrenames=copies\nnoprefix=true\nexternal=false\nignoreSubmodules=all\nrelative=true\n[color]\nui=always\n[core]\npager=false\n[protocol \"file\"]\nallow=always\n[init]\ndefaultBranch=main\n[advice]\ndetachedHead=false\n"), 0o600)
	r.git("init", "-q")
	return r
}

func (r *testRepo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, of which empty ones are removed, and commits.
func (r *testRepo) commit(files ...string) string {
	r.t.Helper()
	for pair := range slices.Chunk(files, 2) {
		name := filepath.Join(r.dir, pair[0])
		if pair[1] == "" {
			r.git("rm", "-q", "--", pair[0])
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pair[1]), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "x")
	return r.git("rev-parse", "HEAD")
}

var publicMap = []string{"public/** -> /**"}

// diff is the sorted paths of a range.
func (r *testRepo) diff(spec string) (string, gathering, error) {
	r.t.Helper()
	maps, err := parseMaps(publicMap)
	if err != nil {
		r.t.Fatal(err)
	}
	g, err := gitDiff(r.t.Context(), r.dir, spec, maps)
	var all []string
	for _, i := range g.items {
		all = append(all, i.Value)
	}
	slices.Sort(all)
	return strings.Join(all, " "), g, err
}

func TestGitDiff(t *testing.T) {
	r := newRepo(t)
	text := strings.Repeat("some lines that make a rename\n", 20)
	c0 := r.commit("public/a.html", text, "public/gone.html", "x", "public/same.html", "y", "public/back.html", "1", "README", "z")
	c1 := r.commit("public/back.html", "2", "public/a.html", "", "public/b.html", text)
	odd := "public/\xff \"q\"\n-x/'$(id)'.css"
	c2 := r.commit("public/back.html", "1", "public/gone.html", "", odd, "o", "public/copy.html", text, "main.go", "m")
	r.git("checkout", "-q", "-b", "side", c1)
	side := r.commit("public/side.html", "s")
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "-m", "merge", "side")
	merge := r.git("rev-parse", "HEAD")
	r.git("tag", "v1", c0)

	const oddPath = "/%FF%20%22q%22%0A-x/'$(id)'.css"
	for _, test := range []struct{ spec, want string }{
		{c0 + ".." + c1, "/a.html /b.html /back.html"},
		{c0 + ".." + c2, oddPath + " /a.html /b.html /copy.html /gone.html"}, // back.html was changed back
		{"v1.." + merge, oddPath + " /a.html /b.html /copy.html /gone.html /side.html"},
		{"v1..", oddPath + " /a.html /b.html /copy.html /gone.html /side.html"},
		{"HEAD..HEAD", ""},
		{c2 + ".." + c0, oddPath + " /a.html /b.html /copy.html /gone.html"},
		{side + "..." + c2, oddPath + " /back.html /copy.html /gone.html"},
		{c2 + "..." + side, "/side.html"},
		{c1, "/a.html /b.html /back.html"},
		{merge, "/side.html"}, // against its first parent
		{"HEAD~1", oddPath + " /back.html /copy.html /gone.html"},
		{c0, "/a.html /back.html /gone.html /same.html"}, // the first of all
	} {
		got, _, err := r.diff(test.spec)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", test.spec, got, err, test.want)
		}
	}
	_, g, _ := r.diff(c0 + ".." + c2)
	if g.files != 6 || g.unfit != 1 || !slices.Equal(g.unmapped, []string{"main.go"}) || len(g.notes) != 1 {
		t.Errorf("files that no map fits: %+v", g)
	}
	// Names are from the root, wherever one stands.
	r.dir = filepath.Join(r.dir, "public")
	if got, _, err := r.diff(c0 + ".." + c1); err != nil || got != "/a.html /b.html /back.html" {
		t.Errorf("below the root: %q, %v", got, err)
	}
}

func TestGitDiffErrors(t *testing.T) {
	r := newRepo(t)
	r.commit("public/a", "1")
	for _, test := range []struct {
		spec, want, hint string
		code             int
	}{
		{"", "bad range", "", exitUsage},
		{"..", "bad range", "", exitUsage},
		{"a..b..c", "bad range", "", exitUsage},
		{"--output=/tmp/x", "no name of a commit", "", exitUsage},
		{"HEAD..--output=x", "no name of a commit", "", exitUsage},
		{"nowhere..HEAD", `git knows no commit "nowhere" here`, "git fetch", exitFailed},
		{"HEAD^{tree}", "git knows no commit", "git fetch", exitFailed},
		{strings.Repeat("0", 40) + "..HEAD", "is no commit", "first push of a branch", exitUsage},
		{"$(touch x)", "git knows no commit", "git fetch", exitFailed},
		{"HEAD\nHEAD", "no name of a commit", "", exitUsage},
	} {
		_, _, err := r.diff(test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(strings.Join(hints(err), ""), test.hint) || exitCode(err) != test.code {
			t.Errorf("%q: %v %q, exit %d", test.spec, err, hints(err), exitCode(err))
		}
	}
	r.git("checkout", "-q", "--orphan", "other")
	r.commit("public/b", "1")
	if _, _, err := r.diff("main...other"); err == nil || !strings.Contains(err.Error(), "no commit in common") {
		t.Errorf("no merge base: %v", err)
	}
	if _, err := gitDiff(t.Context(), r.dir, "HEAD", nil); exitCode(err) != exitUsage {
		t.Errorf("without maps: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	maps, _ := parseMaps(publicMap)
	if _, err := gitDiff(ctx, r.dir, "HEAD", maps); !errors.Is(err, context.Canceled) {
		t.Errorf("Ctrl-C: %v", err)
	}
	r.dir = t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(r.dir))
	if _, _, err := r.diff("HEAD"); err == nil || !strings.Contains(err.Error(), "is not in a git repository") || len(hints(err)) == 0 {
		t.Errorf("no repository: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := r.diff("HEAD"); err == nil || !strings.Contains(err.Error(), "git program is not installed") || len(hints(err)) == 0 {
		t.Errorf("no git: %v", err)
	}
}

// TestGitDiffShallow: where the history is cut off, no commit passes for the
// first one, which would purge everything.
func TestGitDiffShallow(t *testing.T) {
	origin := newRepo(t)
	first := origin.commit("public/a", "1", "public/b", "1")
	origin.commit("public/a", "2")
	origin.commit("public/a", "3")
	for depth, works := range map[string]bool{"1": false, "2": true} {
		dir := filepath.Join(t.TempDir(), "clone")
		origin.git("clone", "-q", "--depth", depth, "file://"+origin.dir, dir)
		r := &testRepo{t, dir}
		got, _, err := r.diff("HEAD")
		switch {
		case works && (err != nil || got != "/a"):
			t.Errorf("depth %s: %q, %v", depth, got, err)
		case !works && (err == nil || !strings.Contains(err.Error(), "shallow") || !strings.Contains(hints(err)[0], "fetch-depth: 0")):
			t.Errorf("depth %s: %q, %v", depth, got, err)
		}
		if _, _, err := r.diff(first + "..HEAD"); err == nil || !strings.Contains(err.Error(), "shallow") {
			t.Errorf("depth %s: %v", depth, err)
		}
	}
}

func TestGitDiffSubmodule(t *testing.T) {
	r := newRepo(t)
	r.commit("public/a", "1", "public/was", "file")
	inner := &testRepo{t, t.TempDir()}
	inner.git("init", "-q")
	inner.commit("x", "1")
	r.git("rm", "-q", "public/was")
	r.git("submodule", "--quiet", "add", inner.dir, "public/theme")
	r.git("submodule", "--quiet", "add", inner.dir, "public/was")
	r.commit("public/a", "2")
	got, g, err := r.diff("HEAD")
	if err != nil || got != "/a /was" || !slices.ContainsFunc(g.notes, func(n string) bool { return strings.Contains(n, "public/theme") }) {
		t.Errorf("%q, %v, %q", got, err, g.notes)
	}
}

func TestReadRawDiff(t *testing.T) {
	for _, bad := range []string{"x", ":1 2 3 4\x00a\x00", ":100644 100644 1 2 M\x00", ":100644 100644 1 2 M\x00\x00", "100644 100644 1 2 M\x00a\x00"} {
		if err := readRawDiff(strings.NewReader(bad), func(string, bool) {}); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzRawDiff: whatever it reads, the reader ends, and no name is empty.
func FuzzRawDiff(f *testing.F) {
	f.Add([]byte(":100644 100644 1 2 M\x00a\x00:000000 160000 0 1 A\x00b\nc\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		names := 0
		err := readRawDiff(bytes.NewReader(out), func(name string, _ bool) {
			names++
			if name == "" {
				t.Error("an empty name")
			}
		})
		if err == nil && names != 0 && 2*names > bytes.Count(out, []byte{0})+1 {
			t.Errorf("%d names of %q", names, out)
		}
	})
}
