"""The SSM data channel: a library that knows nothing about SageMaker, jobs or ssh.

    message.py   the wire format of one AgentMessage
    channel.py   sequencing, acknowledgement, retransmission, handshake: no socket, no clock
    events.py    the events that the channel reports
    smux.py      the streams inside the channel, for the port-forwarding documents
    transport.py one websocket over a non-blocking socket
    engine.py    the above put together: resume, liveness
    session.py   one session with one stream
    incoming.py  what came for each stream; lane.py: what each has still to send
    shared.py    one session with several streams

Facts are cited from the sources of the two programs that speak it: `P:` is
aws/session-manager-plugin at 61cf1288 (paths below src/), `A:` is aws/amazon-ssm-agent at 1c217c89.
"""
