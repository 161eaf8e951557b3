package render

import "bufio"

const (
	sampleRows = 100 // rows that decide how wide columns are
	columnGap  = 2
	cutFloor   = 8 // a column is not cut below this, nor below its header
)

// A layout aligns rows in columns, in terminal cells. What is too wide for its
// column pushes the rest of its line to the right.
type layout struct {
	out    *bufio.Writer
	color  bool
	max    int // width of the terminal; 0: unknown
	single bool

	at      []int  // where each column is in a Row
	right   []bool // per column, and so are all below
	natural []int  // widest cell of the sample
	width   []int  // natural, less what does not fit the terminal
	floor   []int
	texts   []string // of the line at hand
	cells   []int    // their widths
	sampled int
	pending int // spaces that print only if something follows
}

func (l *layout) columns(d *view) {
	n := len(d.at)
	l.at, l.right, l.texts = d.at, make([]bool, n), make([]string, n)
	l.natural, l.width, l.floor, l.cells = make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i := range d.cols {
		l.right[i], l.floor[i] = d.cols[i].Right, cutFloor
	}
	l.single = n == 1 && l.max == 0 && !l.right[0]
	l.sampled, l.pending = 0, 0
}

// sample lets columns grow to the rows, until enough of them were seen.
func (l *layout) sample(rows []Row) {
	if l.single || len(rows) == 0 || l.sampled >= sampleRows {
		return
	}
	rows = rows[:min(len(rows), sampleRows-l.sampled)]
	l.sampled += len(rows)
	for _, r := range rows {
		l.grow(r)
	}
}

// grow makes the columns as wide as r needs, and cuts the widest that are
// aligned to the left until a line fits the terminal.
func (l *layout) grow(r Row) {
	grown := false
	for i, j := range l.at {
		if j >= len(r) {
			continue
		}
		if _, n := measure(r[j].Text); n > l.natural[i] {
			l.natural[i], grown = n, true
		}
	}
	if !grown {
		return
	}
	copy(l.width, l.natural)
	if l.max == 0 {
		return
	}
	for over := lineWidth(l.width) - l.max; over > 0; over-- {
		i := l.widest(func(i int) bool { return l.width[i] > l.floor[i] }, l.width)
		if i < 0 {
			return
		}
		l.width[i]--
	}
}

func lineWidth(widths []int) int {
	n := -columnGap
	for _, w := range widths {
		n += w + columnGap
	}
	return n
}

// widest is the widest column, by widths, of those that are aligned to the left
// and ok; -1 if there is none.
func (l *layout) widest(ok func(int) bool, widths []int) int {
	best := -1
	for i, n := range widths {
		if !l.right[i] && ok(i) && (best < 0 || n > widths[best]) {
			best = i
		}
	}
	return best
}

// line prints one row, without spaces at its end.
func (l *layout) line(r Row) {
	for i, j := range l.at {
		l.texts[i], l.cells[i] = "", 0
		if j < len(r) {
			l.texts[i], l.cells[i] = measure(r[j].Text)
		}
	}
	if l.max > 0 && len(l.at) > 0 {
		l.fit()
	}
	for i, j := range l.at {
		if i > 0 {
			l.pending += columnGap
		}
		pad := max(l.width[i]-l.cells[i], 0)
		if l.right[i] {
			l.pending += pad
		}
		if l.texts[i] != "" {
			l.spaces(l.pending)
			l.pending = 0
			l.out.WriteString(paint(l.texts[i], r[j].Style, l.color))
		}
		if !l.right[i] {
			l.pending += pad
		}
	}
	l.pending = 0
	l.out.WriteByte('\n')
}

// fit cuts cells that are wider than their columns until the line fits the
// terminal, or none is left to cut.
func (l *layout) fit() {
	for {
		total := l.cells[len(l.cells)-1]
		for i := range len(l.cells) - 1 {
			total += max(l.width[i], l.cells[i]) + columnGap
		}
		over := total - l.max
		if over <= 0 {
			return
		}
		i := l.widest(func(i int) bool { return l.cells[i] > l.width[i] }, l.cells)
		if i < 0 {
			return
		}
		l.texts[i], l.cells[i] = cut(l.texts[i], max(l.width[i], l.cells[i]-over))
	}
}

// list prints a table of one column: the way that millions of keys go.
func (l *layout) list(rows []Row) {
	at := l.at[0]
	for _, r := range rows {
		if at < len(r) {
			text := r[at].Text
			if !isPlain(text) {
				text = visible(text, false)
			}
			if l.color {
				text = paint(text, r[at].Style, true)
			}
			l.out.WriteString(text)
		}
		l.out.WriteByte('\n')
	}
}

const blanks = "                                                                "

func (l *layout) spaces(n int) {
	for ; n > len(blanks); n -= len(blanks) {
		l.out.WriteString(blanks)
	}
	l.out.WriteString(blanks[:n])
}
