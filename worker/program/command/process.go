package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	// chunk is how much of a command's output is taken at a time. Half and twice as much are within the noise.
	chunk = 256 << 10
	// maxLine bounds a line of output, bytes: what a line of input may have, too.
	maxLine = 64 << 20
	// stderrGrace is how long standard error is still read when all processes of the command have been killed: one that has left the
	// group may hold it.
	stderrGrace = time.Second
)

// process is a command under way. One goroutine uses it; those that it starts end with finish.
//
//	in      -> a goroutine -> standard input
//	out     <- a goroutine <- standard output, cut at line ends
//	         standard error -> a goroutine -> the reporter
type process struct {
	cmd    *exec.Cmd
	in     chan []byte   // what is to be written; the user closes it
	broken chan struct{} // closed when the command takes no more input
	out    chan output   // closed at the end of the output
	exited chan struct{} // closed when the command's first process has ended; it is still to be reaped

	reap   chan struct{} // closed by finish
	reaped chan struct{} // closed when cmd.ProcessState is known
	quit   chan struct{} // closed by finish
	spare  chan []byte   // buffers for output
	said   reporter

	maxLine int // bytes

	stdin, stdout, stderr *os.File // this end of the pipes
	life                  *os.File // of the one that guard watches: nothing is written
	group                 sync.WaitGroup
}

// output is some of what the command wrote: whole lines unless rest or err is set.
type output struct {
	data []byte
	buf  []byte // what data lies in, to be given back; nil: not to be
	rest bool   // data is the last line, and has no line end
	err  error  // why there is no more; of errLine, data is the line's beginning
}

// errLine is a line that is too long. The text is completed by who knows the command.
var errLine = errors.New("line too long")

// guard is the first process of a command's group. It runs the command line and ends as that does, and watches over it meanwhile: the
// pipe 3 ends when this process does, however it ends, and then the whole group goes. What the shell itself says of a command that was
// killed is not for the command's standard error.
const guard = `exec 4>&2 2>/dev/null
(read x <&3; kill -9 -$$) </dev/null >/dev/null 4>&- &
/bin/sh -c "$1" 2>&4 3<&- 4>&-
code=$?
kill -9 $!
wait $!
exit $code`

// start starts a command line in a folder. A line of its output may have maxLine bytes, chunk or more.
func start(line, dir string, env []string, maxLine int) (_ *process, err error) {
	p := &process{
		cmd: exec.Command("/bin/sh", "-c", guard, "sh", line),
		in:  make(chan []byte), broken: make(chan struct{}), out: make(chan output), exited: make(chan struct{}),
		reap: make(chan struct{}), reaped: make(chan struct{}), quit: make(chan struct{}),
		spare: make(chan []byte, 2), maxLine: maxLine,
	}
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr = dir, append(env, "TMPDIR="+dir, "PWD="+dir), groupOfItsOwn()
	theirs, err := p.pipes()
	defer func() {
		for _, f := range theirs {
			_ = f.Close() // an end of a pipe that the command has, or nobody needs
		}
		if err != nil {
			p.closePipes()
		}
	}()
	if err != nil {
		return nil, err
	}
	begun := make(chan error)
	p.group.Go(func() { p.await(begun) })
	if err = <-begun; err != nil {
		return nil, err
	}
	p.group.Go(p.write)
	p.group.Go(p.read)
	p.group.Go(func() { p.said.listen(p.stderr) })
	return p, nil
}

// pipes connects the command, and returns its ends.
func (p *process) pipes() (theirs []*os.File, err error) {
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	inRead, inWrite := pipe()
	outRead, outWrite := pipe()
	errRead, errWrite := pipe()
	lifeRead, lifeWrite := pipe()
	p.stdin, p.stdout, p.stderr, p.life = inWrite, outRead, errRead, lifeWrite
	for _, f := range []*os.File{inRead, outWrite, errWrite, lifeRead} {
		if f != nil {
			theirs = append(theirs, f)
		}
	}
	if err != nil {
		return theirs, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inRead, outWrite, errWrite
	p.cmd.ExtraFiles = []*os.File{lifeRead} // 3
	widen(p.stdin)
	widen(p.stdout)
	return theirs, nil
}

func (p *process) closePipes() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr, p.life} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// await starts the command's first process and waits for its end, then for finish to have it reaped: until then its number, which
// is its group's, is nobody else's.
func (p *process) await(begun chan<- error) {
	err := p.cmd.Start()
	begun <- err
	if err != nil {
		return
	}
	awaitExit(p.cmd)
	close(p.exited)
	<-p.reap
	_ = p.cmd.Wait() // what it says is in ProcessState
	close(p.reaped)
}

// write passes on what comes in. A command that takes no more has ended, or is about to: how, says whether that is an error.
func (p *process) write() {
	defer p.stdin.Close()
	for data := range p.in {
		if _, err := p.stdin.Write(data); err != nil {
			close(p.broken)
			return
		}
	}
}

// read cuts the output into chunks of whole lines.
func (p *process) read() {
	defer close(p.out)
	buf, have, lines := p.empty(), 0, 0 // lines is where the last line ends
	for {
		n, err := p.stdout.Read(buf[have:])
		if i := bytes.LastIndexByte(buf[have:have+n], '\n'); i >= 0 {
			lines = have + i + 1
		}
		have += n
		switch {
		case err != nil:
			if p.send(output{data: buf[:lines]}) && have > lines {
				p.send(output{data: buf[lines:have], rest: true})
			}
			if !errors.Is(err, io.EOF) {
				p.send(output{err: fmt.Errorf("read its output: %w", err)})
			}
			return
		case lines == 0 && have >= p.maxLine:
			p.send(output{data: buf[:have], err: errLine})
			return
		case lines == 0 && have == len(buf):
			buf = append(buf, make([]byte, min(len(buf), p.maxLine-len(buf)))...)
		case lines > 0 && (lines == have || have > chunk/2):
			next := p.empty()
			if have-lines > len(next)/2 {
				next = make([]byte, 2*(have-lines))
			}
			rest := copy(next, buf[lines:have])
			if !p.send(output{data: buf[:lines], buf: buf}) {
				return
			}
			buf, have, lines = next, rest, 0
		}
	}
}

// send hands output over, unless nobody takes it any more.
func (p *process) send(o output) bool {
	select {
	case p.out <- o:
		return true
	case <-p.quit:
		return false
	}
}

// empty returns a buffer: one that was given back, or a new one. There are two or three.
func (p *process) empty() []byte {
	select {
	case buf := <-p.spare:
		return buf
	default:
		return make([]byte, chunk)
	}
}

// giveBack returns what an output lies in. A buffer for a long line is not kept.
func (p *process) giveBack(o output) {
	if len(o.buf) != chunk {
		return
	}
	select {
	case p.spare <- o.buf:
	default:
	}
}

// finish kills what is left of the command and its group, and returns when nothing of it is under way. The state tells how its first
// process ended.
func (p *process) finish() *os.ProcessState {
	kill(p.cmd)
	close(p.quit)
	close(p.reap)
	<-p.reaped
	_ = p.stdin.Close() // also by write, unless that waits for a process that has left the group
	_ = p.stdout.Close()
	_ = p.stderr.SetReadDeadline(time.Now().Add(stderrGrace)) // a pipe has deadlines
	p.group.Wait()
	p.closePipes()
	return p.cmd.ProcessState
}
