def message():
    return "no data in this folder"
