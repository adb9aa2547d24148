"""Keys, recipients and the two ciphers of a repository (FORMAT.md §9).

cipher.py        which cipher a repository has; that of an unencrypted one changes nothing
age_cipher.py    that of an encrypted one: keyed names, sealed metadata, contents as age files
age.py           the age file format
bech32.py        how age writes keys
sealing.py       metadata, sealed under the repository key
rewrapped.py     older packs for newer recipients

key_files.py     keys as people keep them: texts and files
recipients.py    who can open the repository: reading, adding, retiring
key_objects.py   what is wrong below `keys/`, and what to do about it
entitled.py      which packs an identity of this host must be able to open
key_tests.py     when an identity was last tested
"""
