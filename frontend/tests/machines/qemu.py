#!/usr/bin/env python3
"""A QEMU whose machine has a console, a status, an agent and a power button, and runs the host's programs in a folder of it."""
import io, json, os, re, signal, socket, struct, subprocess, sys, tarfile, threading

WORDS = " ".join(sys.argv)
if "isa-debug-exit" in WORDS:
    sys.exit(0x2A << 1 | 1)
if "hostfwd=tcp:127.0.0.1:1-" in WORDS:
    sys.exit("qemu-system-x86_64: -netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1:1-:80'")
GUEST = os.path.abspath("guest")
os.makedirs(GUEST, exist_ok=True)


def connect(name):
    path = re.search(r"id=%s,path=(\S+?)[, ]" % name, WORDS + " ")[1]
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def listen(path):
    if os.path.exists(path):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(8)
    return server


console, status = connect("console"), connect("status")
if "writes" in os.environ.get("MACHINE", ""):
    disk = re.search(r"file.filename=(\S+qcow2)", WORDS)[1]
    subprocess.run(["qemu-io", "-c", "write -q -P 7 65536 65536", disk], check=True)


def end(code):
    status.sendall(json.dumps({"status": code}).encode() + b"\n")
    console.sendall(b"ends\r\n")
    os._exit(0)


def keyboard():
    for line in console.makefile("r"):
        words = line.split()
        if words[:1] == ["exit"]:
            end(int(words[1]))
        if words[:1] == ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        console.sendall(line.upper().encode())


def monitor():
    server = listen("qmp.sock")
    while True:
        client = server.accept()[0].makefile("rw")
        print(json.dumps({"QMP": {}}), file=client, flush=True)
        for line in client:
            command = json.loads(line)["execute"]
            print(json.dumps({"return": {}}), file=client, flush=True)
            if command == "quit":
                os._exit(0)
            if command == "system_powerdown" and "deaf" not in os.environ.get("MACHINE", ""):
                end(143)


HELLO = b"\x01\0\0\0\x18\0\0\0vmimage agent 1\n"


class Host:
    """One connection."""

    def __init__(self, stream):
        self.stream, self.file, self.lock = stream, stream.makefile("rb"), threading.Lock()
        self.inputs, self.kinds = {}, {}

    def send(self, kind, stream, channel, payload=b""):
        with self.lock:
            self.stream.sendall(struct.pack("<BBHI", kind, stream, channel, len(payload)) + payload + b"\x17")

    def serve(self):
        seen = b""
        while not seen.endswith(HELLO):
            byte = self.file.read(1)
            if not byte:
                return
            seen = (seen + byte)[-len(HELLO):]
        nonce = self.file.read(9)[:8]
        self.stream.sendall(HELLO + nonce + b"\x17")
        while True:
            head = self.file.read(8)
            if len(head) < 8:
                return
            kind, stream, channel, length = struct.unpack("<BBHI", head)
            payload = self.file.read(length)
            self.file.read(1)
            if kind == 2:
                threading.Thread(target=self.open, args=(channel, json.loads(payload)), daemon=True).start()
                while channel not in self.inputs:
                    pass
            elif kind == 3:
                self.inputs[channel].write(payload)
                self.inputs[channel].flush()
                self.send(5, 0, channel, struct.pack("<I", length))
            elif kind in (4, 8) and channel in self.inputs:
                self.inputs[channel].close()

    def open(self, channel, request):
        ((what, how),) = request.items()
        answer = getattr(self, what)(channel, how)
        self.send(7, 0, channel, json.dumps(answer).encode())

    def data(self, stream, channel, payload):
        for at in range(0, len(payload), 60000):
            self.send(3, stream, channel, payload[at : at + 60000])

    def exec(self, channel, how):
        env = dict(os.environ, **dict(word.split("=", 1) for word in how.get("env", [])))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            program = subprocess.Popen(how["argv"], cwd=GUEST + how.get("workdir", ""), env=env, **pipes)
        except FileNotFoundError:
            self.inputs[channel] = io.BytesIO()
            return {"status": 127, "error": how["argv"][0] + ": is not there"}
        self.inputs[channel] = program.stdin
        errors = threading.Thread(target=lambda: self.data(2, channel, program.stderr.read()))
        errors.start()
        while piece := program.stdout.read1(60000):
            self.data(1, channel, piece)
        errors.join()
        return {"status": program.wait()}

    def copy_in(self, channel, how):
        reader, writer = os.pipe()
        self.inputs[channel] = os.fdopen(writer, "wb")
        if not os.path.isdir(GUEST + how["to"]):
            return {"status": 1, "error": how["to"] + ": No such file or directory"}
        with os.fdopen(reader, "rb") as archive, tarfile.open(fileobj=archive, mode="r|") as tar:
            tar.extractall(GUEST + how["to"])
        return {"status": 0}

    def copy_out(self, channel, how):
        self.inputs[channel] = io.BytesIO()
        path = GUEST + how["from"]
        if not os.path.lexists(path):
            return {"status": 1, "error": how["from"] + ": No such file or directory"}
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(path, how.get("name") or os.path.basename(how["from"]))
        self.data(1, channel, archive.getvalue())
        return {"status": 0}

    def stop(self, channel, how):
        self.inputs[channel] = io.BytesIO()
        threading.Timer(0.1, end, [0]).start()
        return {"status": 0}


def agent():
    server = listen("port.sock")
    while True:
        try:
            Host(server.accept()[0]).serve()
        except (BrokenPipeError, ConnectionResetError, ValueError):
            pass


if "agentless" not in os.environ.get("MACHINE", ""):
    threading.Thread(target=agent, daemon=True).start()
else:
    silent = listen("port.sock")
threading.Thread(target=monitor, daemon=True).start()
console.sendall(b"the machine's words\r\n")
keyboard()
signal.pause()
