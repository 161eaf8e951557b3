package commands

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// gitDiff brings what the files are served as that differ between two commits of
// the repository that dir is in. spec is "A..B", "A...B" (what B changed since
// it left A), or one commit: then it is what that commit changed, a merge
// against its first parent. An empty side is HEAD. The range as a whole counts:
// what one commit of it changed and a later one changed back does not differ.
//
// Names are those from the root of the repository, whatever dir is. A deleted
// file counts, and so does the old name of a renamed one. Submodules are left
// out, and told.
func gitDiff(ctx context.Context, dir, spec string, maps []pathMap) (gathering, error) {
	var g gathering
	if len(maps) == 0 {
		return g, withHint(usagef("nothing says what the files of a repository are served as"), "--map 'public/** -> /**'")
	}
	r := repository{dir}
	if err := r.check(ctx); err != nil {
		return g, err
	}
	from, to, err := r.ends(ctx, spec)
	if err != nil {
		return g, err
	}
	var modules []string
	err = r.run(ctx, func(out io.Reader) error {
		return readRawDiff(out, func(name string, module bool) {
			if module {
				modules = append(modules, name)
				return
			}
			g.addFile(name, maps)
		})
	}, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "--end-of-options", from, to, "--")
	if err != nil {
		return gathering{}, fmt.Errorf("git diff %s: %w", spec, err)
	}
	if len(modules) > 0 {
		g.notes = append(g.notes, fmt.Sprintf("the submodule %s changed: what is in it is not purged, run this in it as well", strings.Join(modules, ", ")))
	}
	g.tell()
	return g, nil
}

// readRawDiff reads what "git diff-tree -r -z --raw --no-renames" prints. A
// rename is told as a deletion and an addition there, which is what a purge
// needs: both names. module says that the name was and is no file of this
// repository, or not there at all.
func readRawDiff(in io.Reader, each func(name string, module bool)) error {
	fields := bufio.NewScanner(in)
	fields.Buffer(make([]byte, 64<<10), 1<<20)
	var ended bool // a list that is cut short makes git fail
	fields.Split(until(0, &ended))
	for fields.Scan() {
		// ":100644 100644 0123... 4567... M"
		parts := strings.Fields(fields.Text())
		if len(parts) != 5 || !strings.HasPrefix(parts[0], ":") || !fields.Scan() || len(fields.Bytes()) == 0 {
			return fmt.Errorf("cannot read what git printed: %q", cutText(fields.Text()))
		}
		const module, none = "160000", "000000"
		was, is := parts[0][1:], parts[1]
		each(fields.Text(), (was == module || was == none) && (is == module || is == none))
	}
	return fields.Err()
}

// A repository is the one that a folder is in, asked through the git program.
// What a user gives becomes neither an option nor a word of a shell, and what
// git is asked to compare are the hashes that it made of it.
type repository struct{ dir string }

// run hands git's output to read. The error holds what git said.
func (r *repository) run(ctx context.Context, read func(io.Reader) error, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-pager"}, args...)...)
	cmd.Dir = r.dir
	// The words of errors are looked at, so they are asked for in English; and
	// nobody is there to answer a question.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	said := &firstBytes{most: 4 << 10}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	readErr := read(out)
	if readErr != nil {
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	switch text := strings.TrimSpace(said.String()); {
	case ctx.Err() != nil:
		return ctx.Err()
	case readErr != nil:
		return readErr
	case err != nil && text != "":
		return &gitError{strings.TrimPrefix(strings.TrimPrefix(text, "fatal: "), "error: "), err}
	}
	return err
}

// A gitError is what git said, and its exit status.
type gitError struct {
	said string
	err  error
}

func (e *gitError) Error() string { return e.said }
func (e *gitError) Unwrap() error { return e.err }

// firstBytes keeps the first bytes that are written to it.
type firstBytes struct {
	bytes.Buffer
	most int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	f.Buffer.Write(p[:min(len(p), f.most-f.Len())])
	return len(p), nil
}

// ask returns git's answer of one line.
func (r *repository) ask(ctx context.Context, args ...string) (string, error) {
	var answer []byte
	err := r.run(ctx, func(out io.Reader) (err error) {
		answer, err = io.ReadAll(io.LimitReader(out, 1<<20))
		return err
	}, args...)
	return strings.TrimSuffix(string(answer), "\n"), err
}

// check finds out what keeps git from answering at all.
func (r *repository) check(ctx context.Context) error {
	_, err := r.ask(ctx, "rev-parse", "--git-dir")
	var git *gitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return withHint(errors.New("the git program is not installed here"), "install it, or give the list of what changed by --file")
	case !errors.As(err, &git):
		return err
	case strings.Contains(git.said, "dubious ownership"):
		return withHint(fmt.Errorf("git will not read this repository: %s", firstLine(git.said)), "the folder is another user's, as in many containers: git config --global --add safe.directory \"$PWD\"")
	case strings.Contains(git.said, "not a git repository"):
		return withHint(fmt.Errorf("%s is not in a git repository", r.name()), "run it where the repository is checked out")
	}
	return fmt.Errorf("git: %w", err)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func (r *repository) name() string {
	if r.dir == "" {
		return "this folder"
	}
	return r.dir
}

// ends resolves a range to the hashes of two trees or commits.
func (r *repository) ends(ctx context.Context, spec string) (from, to string, err error) {
	dots := "..."
	a, b, isRange := strings.Cut(spec, dots)
	if !isRange {
		dots = ".."
		a, b, isRange = strings.Cut(spec, dots)
	}
	switch {
	case spec == "" || spec == dots || strings.Contains(b, ".."):
		return "", "", usagef("bad range %q: it is A..B, A...B or one commit", spec)
	case !isRange:
		if to, err = r.commit(ctx, spec); err == nil {
			from, err = r.parent(ctx, to)
		}
		return from, to, err
	}
	if from, err = r.commit(ctx, a); err == nil {
		to, err = r.commit(ctx, b)
	}
	if err != nil || dots == ".." {
		return from, to, err
	}
	base, err := r.ask(ctx, "merge-base", "--end-of-options", from, to)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", "", r.shallow(ctx, fmt.Errorf("%s: the two have no commit in common", spec))
	}
	return base, to, err
}

// commit is the hash of the commit that a name stands for.
func (r *repository) commit(ctx context.Context, name string) (string, error) {
	switch {
	case name == "":
		name = "HEAD"
	case strings.HasPrefix(name, "-"), strings.ContainsAny(name, "\x00\n"):
		return "", usagef("%q is no name of a commit", name)
	case len(name) >= 40 && strings.Trim(name, "0") == "":
		return "", withHint(usagef("%s is no commit", name), "CI gives zeros for the first push of a branch: name the commit that was deployed before")
	}
	hash, err := r.ask(ctx, "rev-parse", "--verify", "--end-of-options", name+"^{commit}")
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return "", r.shallow(ctx, fmt.Errorf("git knows no commit %q here", name))
	case err == nil && !isHash(hash):
		return "", fmt.Errorf("git made %q of the commit %q", cutText(hash), name)
	}
	return hash, err
}

// parent is the first parent of a commit, or the empty tree where it has none.
// The commit itself is read: in a shallow clone git takes the oldest commit that
// is there for a first one, and every file for new.
func (r *repository) parent(ctx context.Context, hash string) (string, error) {
	text, err := r.ask(ctx, "cat-file", "commit", hash)
	if err != nil {
		return "", err
	}
	head, _, _ := strings.Cut(text, "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		if parent, ok := strings.CutPrefix(line, "parent "); ok {
			return r.commit(ctx, parent)
		}
	}
	return r.ask(ctx, "hash-object", "-t", "tree", os.DevNull)
}

// shallow adds to an error what mends it, where the history is cut off.
func (r *repository) shallow(ctx context.Context, err error) error {
	answer, askErr := r.ask(ctx, "rev-parse", "--is-shallow-repository")
	if askErr == nil && answer == "true" {
		return withHint(fmt.Errorf("%w: this clone is shallow", err),
			"fetch the history that the range needs: fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab, or git fetch --unshallow")
	}
	return withHint(err, "is it fetched? \"git fetch origin\" brings branches, \"git fetch --tags\" tags")
}

func isHash(text string) bool {
	return len(text) >= 40 && strings.Trim(text, "0123456789abcdef") == ""
}
