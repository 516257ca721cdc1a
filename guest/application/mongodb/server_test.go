package mongodb

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/FerretDB/wire"
	"github.com/FerretDB/wire/wirebson"
	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// fake answers as a mongod is documented to, for the commands that are used here
// and no others, over the real protocol on a real socket.
type fake struct {
	socket string

	mu       sync.Mutex
	changed  chan struct{} // closed at every change of what follows
	version  string
	set      string // empty: it stands alone
	role     string // primary, secondary, arbiter, recovering, mongos
	engine   string
	options  bson.D // getCmdLineOpts
	password string // of the account quiesce; empty: nobody has to say who he is
	conns    map[int64]*peer
	last     int64
	process  bson.ObjectID
	mute     bool // the reply to fsync does not come
	aged     time.Duration
	over     bool // the server ends
	locks
}

// peer is one connection.
type peer struct {
	*fake
	id    int64
	conn  net.Conn
	known bool // who it is
	talk  *scram.ServerConversation
}

func serve(t *testing.T) *fake {
	t.Helper()
	dir := t.TempDir()
	s := &fake{
		socket: filepath.Join(dir, "mongodb-27017.sock"), changed: make(chan struct{}), version: "7.0.14", set: "rs0", role: "primary",
		engine: "wiredTiger", conns: map[int64]*peer{}, process: bson.NewObjectID(),
		options: bson.D{{Key: "storage", Value: bson.D{{Key: "dbPath", Value: dir}}}},
		locks:   locks{transactions: map[string]time.Time{}},
	}
	listener, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.accept(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		s.over = true
		s.change()
		for _, p := range s.conns {
			p.conn.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

func (s *fake) accept(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.last++
	p := &peer{fake: s, id: s.last, conn: conn}
	s.conns[p.id] = p
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, p.id)
		s.mu.Unlock()
	}()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		header, body, err := wire.ReadMessage(in)
		if err != nil {
			return
		}
		var answer wire.MsgBody
		opcode := wire.OpCodeMsg
		switch body := body.(type) {
		case *wire.OpQuery: // the first words of a connection
			opcode = wire.OpCodeReply
			answer, err = wire.NewOpReply(p.answer(bson.Raw(body.QueryRaw())))
		case *wire.OpMsg:
			// The documents of an insert come in a section of their own.
			answer, err = wire.NewOpMsg(p.answer(bson.Raw(body.Section0Raw())))
		}
		if err != nil {
			return
		}
		binary, err := answer.MarshalBinary()
		if err != nil {
			return
		}
		reply := &wire.MsgHeader{MessageLength: int32(len(binary) + wire.MsgHeaderLen), ResponseTo: header.RequestID, OpCode: opcode}
		if wire.WriteMessage(out, reply, answer) != nil || out.Flush() != nil {
			return
		}
	}
}

// failure is an error of the server's.
type failure struct {
	code       int32
	name, text string
}

func (f *failure) Error() string { return f.text }

// answer carries a command out.
func (p *peer) answer(command bson.Raw) wirebson.RawDocument {
	elements, err := command.Elements()
	if err != nil || len(elements) == 0 {
		return nil
	}
	name := elements[0].Key()
	p.mu.Lock()
	defer p.mu.Unlock()
	reply, err := p.do(name, command)
	if f, is := err.(*failure); is {
		reply = bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: f.text}, {Key: "code", Value: f.code}, {Key: "codeName", Value: f.name}}
	} else {
		reply = append(reply, bson.E{Key: "ok", Value: 1.0})
	}
	raw, err := bson.Marshal(reply)
	if err != nil {
		panic(err)
	}
	return raw
}

func (p *peer) do(name string, command bson.Raw) (bson.D, error) {
	open := map[string]bool{"hello": true, "isMaster": true, "ismaster": true, "ping": true, "saslStart": true, "saslContinue": true, "endSessions": true}
	if p.password != "" && !p.known && !open[name] {
		return nil, &failure{13, "Unauthorized", "Command " + name + " requires authentication"}
	}
	switch name {
	case "hello", "isMaster", "ismaster":
		return p.hello(command), nil
	case "ping", "endSessions":
		return nil, nil
	case "saslStart", "saslContinue":
		return p.sasl(name, command)
	case "serverStatus":
		return bson.D{{Key: "version", Value: p.version}, {Key: "storageEngine", Value: bson.D{{Key: "name", Value: p.engine}}},
			{Key: "metrics", Value: bson.D{{Key: "document", Value: bson.D{
				{Key: "inserted", Value: p.inserted}, {Key: "updated", Value: int64(0)}, {Key: "deleted", Value: int64(0)}, {Key: "returned", Value: int64(9)}}}}}}, nil
	case "getCmdLineOpts":
		return bson.D{{Key: "parsed", Value: p.options}}, nil
	case "currentOp":
		return p.currentOp(), nil
	case "fsync":
		return p.fsync(command)
	case "fsyncUnlock":
		return p.fsyncUnlock()
	case "insert":
		return p.insert(command)
	case "commitTransaction", "abortTransaction":
		delete(p.transactions, session(command))
		p.change()
		return nil, nil
	}
	return nil, &failure{59, "CommandNotFound", "no such command: '" + name + "'"}
}

func (p *peer) hello(command bson.Raw) bson.D {
	d := bson.D{{Key: "helloOk", Value: true}, {Key: "isWritablePrimary", Value: p.role == "primary"}, {Key: "ismaster", Value: p.role == "primary"},
		{Key: "topologyVersion", Value: bson.D{{Key: "processId", Value: p.process}, {Key: "counter", Value: int64(6)}}},
		{Key: "maxBsonObjectSize", Value: 16777216}, {Key: "maxMessageSizeBytes", Value: 48000000}, {Key: "maxWriteBatchSize", Value: 100000},
		{Key: "localTime", Value: time.Now()}, {Key: "logicalSessionTimeoutMinutes", Value: 30}, {Key: "connectionId", Value: p.id},
		{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "readOnly", Value: false},
	}
	if command.Lookup("saslSupportedMechs").Type != 0 { // whoever asks names an account
		d = append(d, bson.E{Key: "saslSupportedMechs", Value: bson.A{"SCRAM-SHA-256"}})
	}
	switch p.role {
	case "mongos":
		return append(d, bson.E{Key: "msg", Value: "isdbgrid"})
	case "secondary":
		d = append(d, bson.E{Key: "secondary", Value: true})
	case "arbiter":
		d = append(d, bson.E{Key: "arbiterOnly", Value: true})
	}
	if p.set != "" {
		d = append(d, bson.E{Key: "setName", Value: p.set}, bson.E{Key: "setVersion", Value: 1}, bson.E{Key: "hosts", Value: bson.A{"db1:27017"}}, bson.E{Key: "me", Value: "db1:27017"},
			bson.E{Key: "lastWrite", Value: bson.D{{Key: "opTime", Value: bson.D{{Key: "ts", Value: bson.Timestamp{T: 1700000000, I: p.logged}}, {Key: "t", Value: int64(3)}}}}})
	}
	return d
}

// sasl is SCRAM-SHA-256, the server's part of which the library has.
func (p *peer) sasl(name string, command bson.Raw) (bson.D, error) {
	_, payload, _ := command.Lookup("payload").BinaryOK()
	wrong := &failure{18, "AuthenticationFailed", "Authentication failed."}
	if name == "saslStart" {
		server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
			if user != "quiesce" {
				return scram.StoredCredentials{}, fmt.Errorf("nobody is called %s", user)
			}
			client, err := scram.SHA256.NewClient(user, p.password, "")
			if err != nil {
				return scram.StoredCredentials{}, err
			}
			return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "a salt of sixteen", Iters: 15000})
		})
		if err != nil {
			return nil, wrong
		}
		p.talk = server.NewConversation()
	}
	if p.talk == nil {
		return nil, wrong
	}
	step, err := p.talk.Step(string(payload))
	if err != nil {
		return nil, wrong
	}
	p.known = p.talk.Valid()
	return bson.D{{Key: "conversationId", Value: 1}, {Key: "done", Value: p.talk.Done()}, {Key: "payload", Value: []byte(step)}}, nil
}
