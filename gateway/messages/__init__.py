"""What travels between the rooms, whatever dialect came in and whatever provider goes out.

`chat` holds a conversation, its options, the reply and the events of a stream; `embeddings` and `models` the
other two capabilities. Nothing here knows a vendor's wire format or does I/O.
"""
